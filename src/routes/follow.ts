import { z } from '@hono/zod-openapi';
import { EventStreamReply } from '../http/event-stream.js';
import { NO_CONTENT, RawJson } from '../http/router.js';
import * as schemas from '../schemas/follow.js';
import * as replies from '../schemas/replies.js';
import * as requests from '../schemas/requests.js';
import { explain } from '../services/explain.js';
import { writeCursor, type Cursor } from '../services/follow/cursor.js';
import { follow } from '../services/follow/follow.js';
import { pollMany } from '../services/follow/poll-many.js';
import { readResult } from '../services/follow/result.js';
import { waitForEnd } from '../services/follow/wait.js';
import { EXAMPLE_ID, type RouteContext } from './context.js';

const tag = 'Waiting';
const time = '2026-01-31T03:00:00.123456Z';
const state = { id: EXAMPLE_ID, type: 'COMPLETED', name: 'Completed', timestamp: time, message: null };
const run = {
  id: EXAMPLE_ID,
  name: 'amber-otter',
  deployment_id: EXAMPLE_ID,
  state_type: 'COMPLETED',
  state_name: 'Completed',
  expected_start_time: time,
  start_time: time,
  end_time: time,
  total_run_time: 12.5,
};
const fetchRun = (path: Record<string, string>) => `failed to fetch flow_run ${path['flow_run_id'] ?? ''}`;
const ENDED_HEADER = 'x-run-ended';
const HEARTBEAT_MS = 15_000;
const BEGINNING: Cursor = { isEnd: false };

/** Waiting for a run, following it, and what became of it. */
export function addFollowRoutes({ router, limits, poller, runWatch, feeds }: RouteContext): void {
  router.add(
    {
      method: 'get',
      path: '/proxy/v1/flow_runs/{flow_run_id}/wait',
      operationId: 'waitForRun',
      summary: 'A run, as soon as it has ended; as it is then, when the time is over before',
      tag,
      waits: true,
      input: z.object({
        path: requests.flowRunPath,
        query: z.object({ timeout: schemas.waitSeconds }),
      }),
      reply: replies.flowRun,
      replyHeaders: { [ENDED_HEADER]: '`true` where the run has ended, `false` where it has not: ask again' },
      example: { reply: { ...run, tags: ['acme'], parameters: {} } },
      failure: fetchRun,
      errors: [404],
    },
    async ({ path: { flow_run_id: id }, query }, { prefect, setHeader, hangUp }) => {
      const waiting = { timeoutMs: query.timeout * 1000, gone: hangUp() };
      const { text, isEnded } = await waitForEnd(runWatch, prefect, id, waiting);
      setHeader(ENDED_HEADER, String(isEnded));
      return new RawJson(text);
    },
  );

  router.add(
    {
      method: 'get',
      path: '/proxy/v1/flow_runs/{flow_run_id}/events',
      operationId: 'followRun',
      summary: 'The states and logs of a run as they come, up to its end, as server-sent events',
      description:
        'To see them as they come: `curl -N`. A client that waits for the end of the reply sees them all at once then.',
      tag,
      waits: true,
      input: z.object({
        path: requests.flowRunPath,
        header: z.object({ 'last-event-id': schemas.lastEventId }),
      }),
      reply: schemas.streamedEvent,
      replyType: 'text/event-stream',
      noContent: 'The event of `Last-Event-ID` was the end, and it still is',
      example: {
        reply: {
          event: 'end',
          id: writeCursor({ stateId: EXAMPLE_ID, isEnd: true }),
          data: JSON.stringify(state),
        },
      },
      failure: fetchRun,
      errors: [404],
    },
    async ({ path, header }, { prefect, hangUp }) => {
      const gone = hangUp();
      const cursor = header['last-event-id'] ?? BEGINNING;
      const { feed, leave } = await feeds.join(prefect, path.flow_run_id);
      gone.addEventListener('abort', leave, { once: true });
      if (gone.aborted) leave();
      if (cursor.isEnd && feed.isEnded && feed.states.at(-1)?.id === cursor.stateId) {
        leave();
        return NO_CONTENT;
      }
      return new EventStreamReply(follow(feed, { cursor, gone, heartbeatMs: HEARTBEAT_MS }));
    },
  );

  router.add(
    {
      method: 'post',
      path: '/proxy/v1/flow_runs/poll',
      operationId: 'pollRuns',
      summary: 'The states of up to 1,000 runs',
      tag,
      priority: 'normal',
      input: z.object({ body: schemas.manyRuns }),
      reply: schemas.runSummaries,
      example: { body: { ids: [EXAMPLE_ID] }, reply: { flow_runs: [{ ...run, ended: true }], missing: [] } },
      failure: 'failed to fetch flow_runs',
    },
    ({ body }, { prefect }) => pollMany(prefect, limits, body.ids),
  );

  router.add(
    {
      method: 'get',
      path: '/proxy/v1/flow_runs/{flow_run_id}/result',
      operationId: 'getRunResult',
      summary: 'What the tasks of a run that has ended came to',
      tag,
      input: z.object({ path: requests.flowRunPath }),
      reply: schemas.taskResults,
      example: {
        reply: {
          flow_run_id: EXAMPLE_ID,
          state_type: 'COMPLETED',
          state_name: 'Completed',
          created: time,
          tasks: [
            { seq: 1, type: 'Shell Operation', slug: 'hello', state_type: 'COMPLETED', result: ['hello'] },
          ],
        },
      },
      failure: fetchRun,
      errors: [404, 409],
    },
    ({ path }, { prefect }) => readResult(prefect, poller, path.flow_run_id),
  );

  router.add(
    {
      method: 'get',
      path: '/proxy/v1/flow_runs/{flow_run_id}/explain',
      operationId: 'explainRun',
      summary: 'Why a run has not started, or does not go on',
      tag,
      input: z.object({ path: requests.flowRunPath }),
      reply: schemas.explanation,
      example: {
        reply: {
          flow_run_id: EXAMPLE_ID,
          name: 'amber-otter',
          state_type: 'SCHEDULED',
          state_name: 'Late',
          state_message: null,
          since_seconds: 42.1,
          deployment_id: EXAMPLE_ID,
          work_pool_name: 'dalgo_work_pool',
          work_queue_name: 'ddp',
          reasons: [{ code: 'work_queue_paused', message: 'Its work queue ddp is paused.' }],
        },
      },
      failure: fetchRun,
      errors: [404],
    },
    ({ path }, { prefect }) => explain(prefect, limits, poller, path.flow_run_id),
  );
}
