import { z } from '@hono/zod-openapi';
import { AppError } from '../errors.js';
import * as schemas from '../schemas/deliveries.js';
import { flowRunPath } from '../schemas/requests.js';
import { hoursBefore, toUtcTime } from '../schemas/time.js';
import * as deliveries from '../services/deliveries.js';
import type { OnHint } from '../services/hints.js';
import type { Channel } from '../services/settlement/channel.js';
import { deliveryState } from '../services/settlement/progress.js';
import { EXAMPLE_ID, type RouteContext } from './context.js';

/** What the routes about deliveries are given. */
export interface Delivering {
  hint: OnHint;
  /** The host whose deliveries these are. */
  channel: Channel;
  /** Why nothing is delivered here at the moment; undefined where it is. */
  isOffBecause: () => string | undefined;
}

const tag = 'Deliveries';
const HOURS = 24;
/** Runs that one request lets the host be told of again. */
const RECOVERED_AT_MOST = 100;

const time = '2026-01-31T03:00:00.123456Z';
const cursor = schemas.cursorOf({ time: '2026-01-31T03:00:00.123456+00:00', id: EXAMPLE_ID });
const delivery = {
  flow_run_id: EXAMPLE_ID,
  name: 'amber-otter',
  state_id: EXAMPLE_ID,
  state_type: 'COMPLETED',
  state_name: 'Completed',
  ended_at: time,
  delivery: 'dead',
  attempts: 11,
  next_attempt: null,
  last: '500',
  cleaned: true,
};

/** Which ends of runs the host was told of, and telling it again. */
export function addDeliveryRoutes({ router, limits: { size }, poller, delivering }: RouteContext): void {
  const { hint, channel } = delivering;
  const deps = { poller, hint, channel };
  router.add(
    {
      method: 'get',
      path: '/proxy/v1/deliveries',
      operationId: 'listDeliveries',
      summary: 'Runs that ended, the latest first, and whether the host knows',
      description:
        'A request reads some 2,000 runs at most: with `state` there may be more behind `next_cursor` though fewer than ' +
        '`limit` came.',
      tag,
      priority: 'low',
      input: z.object({ query: schemas.deliveryQuery }),
      reply: schemas.deliveryList,
      example: { reply: { deliveries: [delivery], next_cursor: cursor, unreadable: 0 } },
      failure: 'failed to list deliveries',
    },
    async ({ query: { state, limit, cursor: after, ...query } }, { prefect }) => {
      await deliveries.learnBeginning(prefect, channel);
      const { next, ...found } = await deliveries.findEnded(prefect, size, {
        ...rangeOf('query', query),
        after,
        limit,
        wanted: (run) => state === undefined || deliveryState(run, channel) === state,
      });
      return {
        deliveries: found.runs.map((run) => deliveries.deliveryOf(run, channel)),
        next_cursor: next ? schemas.cursorOf(next) : null,
        unreadable: found.unreadable,
      };
    },
  );

  router.add(
    {
      method: 'get',
      path: '/proxy/v1/deliveries/without_run',
      operationId: 'listDeliveriesWithoutRun',
      summary: 'Ends of runs that were deleted or cannot be read, and whether the host knows',
      description:
        'The latest 40. Such a run has no labels to note its delivery in; it is delivered from what Prefect reported of it.',
      tag,
      priority: 'low',
      input: z.object({}),
      reply: schemas.withoutRunList,
      example: {
        reply: {
          deliveries: [
            {
              flow_run_id: EXAMPLE_ID,
              state_id: EXAMPLE_ID,
              noted_at: '2026-01-31T03:00:00Z',
              delivery: 'delivered',
            },
          ],
        },
      },
      failure: 'failed to list deliveries without a run',
    },
    async (_input, { prefect }) => {
      const found = await deliveries.listWithoutRun(prefect, channel);
      return {
        deliveries: found.map((one) => ({
          flow_run_id: one.flowRunId,
          state_id: one.stateId,
          noted_at: one.notedAt,
          delivery: one.delivery,
        })),
      };
    },
  );

  router.add(
    {
      method: 'post',
      path: '/proxy/v1/deliveries/{flow_run_id}/replay',
      operationId: 'replayDelivery',
      summary: "Tells the host again of a run's end, under the same webhook-id",
      tag,
      input: z.object({ path: flowRunPath }),
      reply: schemas.replayed,
      example: { reply: { flow_run_id: EXAMPLE_ID, webhook_id: `${EXAMPLE_ID}:${EXAMPLE_ID}` } },
      failure: (path) => `failed to replay the delivery of flow_run ${path['flow_run_id'] ?? ''}`,
      errors: [404, 409],
    },
    async ({ path: { flow_run_id: id } }, { prefect }) => {
      assertOn(delivering);
      await deliveries.learnBeginning(prefect, channel);
      return { flow_run_id: id, webhook_id: await deliveries.replay(prefect, deps, id) };
    },
  );

  router.add(
    {
      method: 'post',
      path: '/proxy/v1/deliveries/recover',
      operationId: 'recoverDeliveries',
      summary: `Tells the host again of all runs that ended within a time, ${RECOVERED_AT_MOST} a request, the latest first`,
      tag,
      priority: 'low',
      input: z.object({ body: schemas.recovery }),
      reply: schemas.recovered,
      example: {
        body: { since: time, state: 'dead' },
        reply: { found: 100, replayed: 100, reached: time, next_cursor: cursor, unreadable: 0 },
      },
      failure: 'failed to recover deliveries',
    },
    async ({ body: { state, cursor: after, ...body } }, { prefect }) => {
      assertOn(delivering);
      const range = rangeOf('body', body);
      await deliveries.learnBeginning(prefect, channel);
      const { runs, replayed, next, unreadable } = await deliveries.recover(prefect, size, deps, {
        ...range,
        after: after ?? undefined,
        limit: RECOVERED_AT_MOST,
        wanted: wantedBy(state, channel),
      });
      return {
        found: runs.length,
        replayed,
        reached: next?.time ?? range.since,
        next_cursor: next ? schemas.cursorOf(next) : null,
        unreadable,
      };
    },
  );
}

/** Never those of which the host does not want to hear. */
function wantedBy(
  state: z.output<typeof schemas.recovery>['state'],
  channel: Channel,
): deliveries.EndedBetween['wanted'] {
  const states = state === undefined ? ['pending', 'dead'] : state === 'all' ? ALL : [state];
  return (run) => states.includes(deliveryState(run, channel));
}

const ALL = ['pending', 'dead', 'delivered'];

/** @throws AppError 503: labels that nobody looks at would be reset, and what is dead would count as on its way */
function assertOn({ isOffBecause }: Delivering): void {
  const reason = isOffBecause();
  if (reason !== undefined) throw new AppError('not_configured', reason);
}

/** The range of a request, in UTC. @throws AppError 422 where it begins after its end, or before all calendars */
function rangeOf(part: 'query' | 'body', given: { since: string; until: string | null }) {
  const until = given.until || undefined;
  const now = toUtcTime(new Date().toISOString());
  const since = given.since ? { value: given.since } : hoursBefore(HOURS, until ?? null);
  const refused = (type: string, msg: string) =>
    new AppError('validation_failed', [{ type, msg, loc: [part, 'since'], input: given.since }]);
  if (!('value' in since)) throw refused(since.type, since.msg);
  const end = until ?? ('value' in now ? now.value : '');
  if (since.value > end) throw refused('value_error', 'since is later than until');
  return { since: since.value, until };
}
