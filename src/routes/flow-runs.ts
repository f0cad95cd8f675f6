import { z } from '@hono/zod-openapi';
import { AppError } from '../errors.js';
import { RawJson } from '../http/router.js';
import * as flowRuns from '../prefect/flow-runs.js';
import type { Problem } from '../schemas/problem.js';
import * as replies from '../schemas/replies.js';
import * as requests from '../schemas/requests.js';
import { hoursBefore, minutesFromNow } from '../schemas/time.js';
import * as runs from '../services/runs.js';
import { EXAMPLE_ID, type RouteContext } from './context.js';

const tag = 'Flow runs';
const byId = z.object({ path: requests.flowRunPath });
const fetchRun = (path: Record<string, string>) => `failed to fetch flow_run ${path['flow_run_id'] ?? ''}`;
const time = '2026-01-31T03:00:00.123456Z';
const run = {
  id: EXAMPLE_ID,
  name: 'amber-otter',
  deployment_id: EXAMPLE_ID,
  tags: ['acme'],
  parameters: {},
  state_type: 'COMPLETED',
  state_name: 'Completed',
  start_time: time,
  end_time: time,
  expected_start_time: time,
  total_run_time: 12.5,
};
const times = { startTime: time, expectedStartTime: time, totalRunTime: 12.5 };
const listed = { id: EXAMPLE_ID, name: 'amber-otter', tags: ['acme'], ...times };

/** Lists of runs. */
export function addFlowRunListRoutes({ router, limits }: RouteContext): void {
  router.add(
    {
      method: 'post',
      path: '/proxy/flow_run/',
      operationId: 'findRunByName',
      summary: 'The first run of a name',
      tag,
      priority: 'normal',
      input: z.object({ body: requests.runName }),
      reply: z.object({ flow_run: replies.flowRunWithStatus }),
      example: { body: { name: 'amber-otter' }, reply: { flow_run: { ...run, status: 'COMPLETED' } } },
      failure: 'failed to fetch flow_runs by name',
      errors: [400],
    },
    async ({ body }, { prefect }) => ({ flow_run: await runs.findByName(prefect, limits, body.name) }),
  );

  router.add(
    {
      method: 'get',
      path: '/proxy/flow_runs',
      operationId: 'listFinishedRuns',
      summary: "A deployment's runs that are over, newest start first",
      tag,
      priority: 'low',
      input: z.object({
        query: z.object({
          deployment_id: requests.deploymentQuery,
          limit: requests.rowLimit,
          start_time_gt: requests.timeOrEmpty
            .default('')
            .openapi({ description: 'Started then or later, e.g. `2026-01-31T03:00:00Z`' }),
        }),
      }),
      reply: z.object({ flow_runs: z.array(replies.finishedRun) }),
      example: { reply: { flow_runs: [{ ...listed, status: 'COMPLETED', state_name: 'Completed' }] } },
      failure: 'failed to fetch flow_runs for deployment',
    },
    async ({ query }, { prefect, cut }) => {
      const wanted = { limit: query.limit, startedFrom: query.start_time_gt || null };
      const found = await runs.listFinished(prefect, limits, query.deployment_id, wanted);
      cut(found);
      return { flow_runs: found.rows };
    },
  );

  router.add(
    {
      method: 'post',
      path: '/proxy/flow_runs/late',
      operationId: 'listLateRuns',
      summary: 'Runs that should have started and did not',
      tag,
      priority: 'low',
      input: z.object({ body: requests.lateRuns }),
      reply: z.object({ flow_runs: z.array(replies.lateRun) }),
      example: {
        body: { work_queue_name: 'ddp', limit: 10 },
        reply: {
          flow_runs: [
            {
              ...listed,
              estimatedRunTime: 0,
              workQueueName: 'ddp',
              workPoolName: 'dalgo_work_pool',
              deployment_id: EXAMPLE_ID,
            },
          ],
        },
      },
      failure: 'failed to fetch late flow runs',
      errors: [400],
    },
    async ({ body }, { prefect, cut }) => {
      const found = await runs.listLate(prefect, limits, body);
      cut(found);
      return { flow_runs: found.rows };
    },
  );

  router.add(
    {
      method: 'get',
      path: '/proxy/flow_runs/long-running/{nhours}',
      operationId: 'listLongRunningRuns',
      summary: 'Runs that have been running for more than some hours',
      tag,
      priority: 'low',
      input: z.object({
        path: z.object({
          nhours: requests.hours.openapi({ description: 'For more than so many hours', example: 2 }),
        }),
        query: z.object({
          start_time_str: requests.timeOrEmpty
            .default('')
            .openapi({ description: 'The time to count from, e.g. `2026-01-31T03:00:00Z`; now by default' }),
        }),
      }),
      reply: z.object({ flow_runs: z.array(replies.flowRun) }),
      example: {
        reply: { flow_runs: [{ ...run, state_type: 'RUNNING', state_name: 'Running', end_time: null }] },
      },
      failure: 'failed to fetch long running flow_runs',
    },
    async ({ path, query }, { prefect, cut }) => {
      const before = valid(
        hoursBefore(path.nhours, query.start_time_str || null),
        ['path', 'nhours'],
        path.nhours,
      );
      const found = await runs.listRunningSince(prefect, limits, before);
      cut(found);
      return { flow_runs: found.rows };
    },
  );
}

/** One run: read, poll, delete, retry, cancel. */
export function addFlowRunRoutes({ router, limits, poller }: RouteContext): void {
  router.add(
    {
      method: 'get',
      path: '/proxy/flow_runs/{flow_run_id}',
      operationId: 'getRun',
      summary: 'A run, with its status and its final state name',
      tag,
      input: byId,
      reply: replies.flowRunWithStatus,
      example: { reply: { ...run, status: 'COMPLETED' } },
      failure: fetchRun,
      errors: [404],
    },
    async ({ path }, { prefect, cut }) => {
      const found = await runs.readWithStatus(prefect, limits, path.flow_run_id);
      cut(found);
      return found.run;
    },
  );

  router.add(
    {
      method: 'get',
      path: '/proxy/flow_runs/{flow_run_id}/poll',
      operationId: 'pollRun',
      summary: "A run, exactly as the orchestrator has it; the host's cheapest question",
      tag,
      input: byId,
      reply: replies.flowRun,
      example: { reply: run },
      failure: fetchRun,
      errors: [404],
    },
    async ({ path }, { prefect }) => new RawJson(await poller.poll(prefect, path.flow_run_id)),
  );

  router.add(
    {
      method: 'delete',
      path: '/proxy/flow_runs/{flow_run_id}',
      operationId: 'deleteRun',
      summary: 'Deletes a run',
      tag,
      input: byId,
      reply: replies.success,
      example: { reply: { success: 1 } },
      failure: fetchRun,
      errors: [404],
    },
    async ({ path: { flow_run_id: id } }, { prefect }) => {
      await poller.writing(id, () => flowRuns.remove(prefect, id));
      return { success: 1 };
    },
  );

  router.add(
    {
      method: 'post',
      path: '/proxy/flow_runs/{flow_run_id}/retry',
      operationId: 'retryRun',
      summary: 'Runs a run again, some minutes from now',
      tag,
      input: z.object({ path: requests.flowRunPath, body: requests.retry }),
      reply: replies.success,
      example: { body: { minutes: 5 }, reply: { success: 1 } },
      failure: fetchRun,
      errors: [400, 404, 409],
    },
    async ({ path: { flow_run_id: id }, body }, { prefect }) => {
      const at = valid(minutesFromNow(body.minutes), ['body', 'minutes'], body.minutes);
      await poller.writing(id, () => runs.scheduleRetry(prefect, id, at));
      return { success: 1 };
    },
  );

  router.add(
    {
      method: 'post',
      path: '/proxy/flow_runs/{flow_run_id}/set_state',
      operationId: 'cancelQueuedRun',
      summary: 'Cancels a run that has not started',
      tag,
      input: z.object({ path: requests.flowRunPath, body: requests.cancel }),
      reply: replies.success,
      example: {
        body: { state: { name: 'Cancelling', type: 'CANCELLING' }, force: 'True' },
        reply: { success: 1 },
      },
      failure: 'failed to cancel the queued manual job',
      errors: [400, 404],
    },
    async ({ path: { flow_run_id: id }, body }, { prefect }) => {
      await poller.writing(id, () => runs.cancelQueued(prefect, id, body.state, body.force));
      return { success: 1 };
    },
  );
}

/** @throws AppError 422 where a number leads to no time that a calendar has */
function valid(result: { value: string } | Problem, loc: string[], input: unknown): string {
  if ('value' in result) return result.value;
  throw new AppError('validation_failed', [{ ...result, loc, input }]);
}
