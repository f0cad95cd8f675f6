import type { PrefectSession } from '../prefect/client.js';
import { listHeldTags } from '../prefect/concurrency.js';
import { parseRun, TERMINAL } from '../prefect/ended-runs.js';
import { UpstreamError } from '../prefect/errors.js';
import * as places from '../prefect/places.js';
import * as summaries from '../prefect/run-summaries.js';
import {
  heartbeat,
  pending,
  reason,
  scheduled,
  since,
  type Place,
  type PlacedRun,
  type Reason,
} from './explain-reasons.js';
import type { RunPoller } from './poll.js';
import type { ListLimits } from './rows.js';

/** States that hold a slot of a pool or a queue; those of a deployment are held until the end. */
const HOLDING = ['PENDING', 'RUNNING'];
const HOLDING_DEPLOYMENT = [...HOLDING, 'CANCELLING'];

/**
 * Why a run is where it is: what keeps it from starting, or from going on.
 * @throws UpstreamError where there is no such run
 */
export async function explain(api: PrefectSession, limits: ListLimits, poller: RunPoller, id: string) {
  const found = parseRun(await poller.poll(api, id));
  const { state } = found;
  if (!state) throw new UpstreamError('shape');
  return {
    flow_run_id: id,
    name: found.name,
    state_type: state.type,
    state_name: state.name,
    state_message: state.message ?? null,
    since_seconds: since(state.timestamp),
    deployment_id: found.deployment_id ?? null,
    work_pool_name: found.work_pool_name ?? null,
    work_queue_name: found.work_queue_name ?? null,
    reasons: await reasonsOf(api, limits, { ...found, state }),
  };
}

async function reasonsOf(api: PrefectSession, limits: ListLimits, one: PlacedRun): Promise<Reason[]> {
  const { type, name, message } = one.state;
  if (TERMINAL.some((terminal) => terminal === type))
    return [reason('ended', `It has ended as ${name}${message ? `: ${message}` : '.'}`)];
  switch (type) {
    case 'SCHEDULED':
      return scheduled(one, await placeOf(api, limits, one));
    case 'PENDING':
      return pending(one, await workersOf(api, limits, one));
    case 'PAUSED':
      return [
        reason('awaiting_resume', 'It is paused until somebody resumes it, or until its time is over.'),
      ];
    case 'CANCELLING': {
      const worker = noWorker(one, await workersOf(api, limits, one));
      return [...worker, reason('cancelling', 'A worker is asked to end its process.')];
    }
    default:
      return running(api, limits, one);
  }
}

async function running(api: PrefectSession, limits: ListLimits, one: PlacedRun): Promise<Reason[]> {
  const { size } = limits;
  const waiting = {
    flow_runs: { id: { any_: [one.id] } },
    task_runs: { state: { type: { any_: ['PENDING'] } } },
  };
  const [full, beats, workers] = await Promise.all([
    places.listTasks(api, size, waiting).then((tasks) => fullTags(api, limits, tasks)),
    places.lastHeartbeats(api, one.id),
    workersOf(api, limits, one),
  ]);
  const holders = await flowRunsOf(
    api,
    limits,
    full.flatMap((tag) => tag.active_slots),
  );
  const held = full.map(({ tag, concurrency_limit: limit, active_slots: slots }) => {
    const who = new Set(slots.flatMap((task) => holders.get(task) ?? []));
    return reason(
      'tag_limit_full',
      `Task runs of it wait for the tag ${tag}: its limit of ${limit} is full.`,
      [...who],
    );
  });
  const lost = heartbeat(beats);
  const silent = lost ? [lost, ...noWorker(one, workers)] : [];
  const reasons = [...held, ...silent];
  return reasons.length > 0 ? reasons : [reason('running', 'It runs; nothing is known to hold it.')];
}

/** The full limits among the tags of task runs that wait. */
async function fullTags(api: PrefectSession, { size }: ListLimits, waiting: { tags: string[] }[]) {
  const tags = new Set(waiting.flatMap((task) => task.tags));
  if (tags.size === 0) return [];
  const held = await listHeldTags(api, size, { among: tags });
  return held.filter((limit) => limit.active_slots.length >= limit.concurrency_limit);
}

/** The flow run of each of these task runs. */
async function flowRunsOf(api: PrefectSession, { size }: ListLimits, taskIds: string[]) {
  if (taskIds.length === 0) return new Map<string, summaries.RunSummary>();
  const tasks = await places.listTasks(api, size, { task_runs: { id: { any_: taskIds } } });
  const ids = [...new Set(tasks.flatMap(({ flow_run_id }) => flow_run_id ?? []))];
  const runs = new Map((await summaries.byIds(api, size, ids)).map((one) => [one.id, one]));
  return new Map(
    tasks.flatMap((task) => {
      const holder = runs.get(task.flow_run_id ?? '');
      return holder ? [[task.id, holder] as const] : [];
    }),
  );
}

/** @returns undefined where the run has no pool with workers */
async function workersOf(
  api: PrefectSession,
  { size }: ListLimits,
  { work_pool_name: pool }: PlacedRun,
): Promise<number | undefined> {
  if (!pool) return undefined;
  const [count, found] = await Promise.all([
    places.onlineWorkers(api, size, pool),
    places.readPool(api, pool),
  ]);
  return found && hasWorkers(found.type) ? count : undefined;
}

function noWorker({ work_pool_name: pool }: PlacedRun, workers: number | undefined): Reason[] {
  if (workers !== 0 || !pool) return [];
  return [reason('no_online_worker', `No worker of the work pool ${pool} is online.`)];
}

async function placeOf(api: PrefectSession, limits: ListLimits, one: PlacedRun): Promise<Place> {
  const { size } = limits;
  const { work_pool_name: pool, work_queue_name: queue, deployment_id: deployment } = one;
  const [found, foundQueue, foundDeployment, workers, inPool, inDeployment] = await Promise.all([
    pool ? places.readPool(api, pool) : undefined,
    pool && queue ? places.readQueue(api, pool, queue) : undefined,
    deployment ? places.readDeployment(api, deployment) : undefined,
    pool ? places.onlineWorkers(api, size, pool) : 0,
    pool ? summaries.inStates(api, size, { work_pools: { name: { any_: [pool] } } }, HOLDING) : [],
    deployment
      ? summaries.inStates(api, size, { deployments: { id: { any_: [deployment] } } }, HOLDING_DEPLOYMENT)
      : [],
  ]);
  return {
    pool: found,
    queue: foundQueue,
    deployment: foundDeployment,
    hasWorkers: found ? hasWorkers(found.type) : true,
    workers,
    inPool,
    inDeployment,
  };
}

/** Push and managed pools start runs by themselves. */
function hasWorkers(poolType: string): boolean {
  return !poolType.endsWith(':push') && poolType !== 'prefect:managed';
}
