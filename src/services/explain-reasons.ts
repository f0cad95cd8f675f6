import type { Run } from '../prefect/ended-runs.js';
import type { DeploymentPlace, Pool, Queue } from '../prefect/places.js';
import type { Occupant } from '../prefect/run-summaries.js';

export const REASON_CODES = [
  'awaiting_resume',
  'cancelling',
  'deployment_deleted',
  'deployment_limit_full',
  'due',
  'ended',
  'heartbeat_lost',
  'no_deployment',
  'no_online_worker',
  'no_work_pool',
  'queue_not_polled',
  'running',
  'schedule_paused',
  'scheduled_for_later',
  'starting',
  'stuck_pending',
  'tag_limit_full',
  'work_pool_limit_full',
  'work_pool_paused',
  'work_queue_deleted',
  'work_queue_limit_full',
  'work_queue_paused',
] as const;
export type ReasonCode = (typeof REASON_CODES)[number];

export interface Reason {
  code: ReasonCode;
  message: string;
  /** The runs that hold the slots of a limit. */
  holders?: { flow_run_id: string; name: string }[];
}

/** A run in some state. */
export interface PlacedRun extends Run {
  state: NonNullable<Run['state']>;
}

/** What stands around a run that is to start; null where it is gone, undefined where the run has none. */
export interface Place {
  pool: Pool | null | undefined;
  queue: Queue | null | undefined;
  deployment: DeploymentPlace | null | undefined;
  hasWorkers: boolean;
  /** 0 where none is online. */
  workers: number;
  /** Runs that hold a slot of the pool, and of the deployment. */
  inPool: Occupant[];
  inDeployment: Occupant[];
}

/** Seconds. Workers ask every 15 s at most, and for runs that are due within the next ones. */
const NOT_POLLED_AFTER = 60;
const STARTING_FOR = 120;
/** Between heartbeats where only one came; three may be missed. */
const HEARTBEAT = 180;
const MISSED = 3;

export function reason(code: ReasonCode, message: string, holders?: { id: string; name: string }[]): Reason {
  return {
    code,
    message,
    ...(holders ? { holders: holders.map(({ id, name }) => ({ flow_run_id: id, name })) } : {}),
  };
}

/** Seconds since a time, as our clock says; to the tenth. */
export function since(time: string): number {
  return Math.max(0, Math.round((Date.now() - Date.parse(time)) / 100) / 10);
}

/** Why a run that is scheduled has not started. */
export function scheduled(run: PlacedRun, place: Place): Reason[] {
  const start = run.next_scheduled_start_time;
  const later = start && Date.parse(start) > Date.now() ? [forLater(run, start)] : [];
  const held = [...ofDeployment(run, place), ...ofPool(run, place), ...ofQueue(run, place)];
  const reasons = [...later, ...held, ...workers(run, place), ...schedule(place)];
  const holds = reasons.some(({ code }) => code !== 'schedule_paused');
  return holds
    ? reasons
    : [reason('due', 'Nothing holds it: a worker should take it within seconds.'), ...reasons];
}

/** Why a run that a worker has taken does not run yet. @param online workers, where its pool has any */
export function pending(run: PlacedRun, online: number | undefined): Reason[] {
  const seconds = since(run.state.timestamp);
  const worker =
    online === 0 ? [noWorker(run, 'the one that took it may be gone and nobody else takes it')] : [];
  if (seconds < STARTING_FOR)
    return [...worker, reason('starting', 'A worker took it; its process is starting.')];
  const message = `A worker took it ${Math.round(seconds)} s ago, and it has not begun to run: its process may have died. Prefect leaves it so for ever.`;
  return [...worker, reason('stuck_pending', message)];
}

/** @param times of the last heartbeats, the latest first @returns undefined where none came, or the last one is fresh */
export function heartbeat([last, before]: string[]): Reason | undefined {
  if (last === undefined) return undefined;
  const every =
    before === undefined ? HEARTBEAT : Math.max(30, (Date.parse(last) - Date.parse(before)) / 1000);
  const seconds = since(last);
  if (seconds < every * MISSED) return undefined;
  const message = `Its process has not been heard of for ${Math.round(seconds)} s: it may have died, and nobody ends such a run.`;
  return reason('heartbeat_lost', message);
}

function forLater(run: PlacedRun, start: string): Reason {
  const why = run.state.name === 'Scheduled' ? '' : ` (${run.state.name})`;
  return reason('scheduled_for_later', `It is to start at ${start}${why}.`);
}

function ofDeployment(run: PlacedRun, { deployment, inDeployment }: Place): Reason[] {
  if (deployment === undefined)
    return [
      reason('no_deployment', 'It has no deployment: no worker takes it, only what made it can run it.'),
    ];
  if (deployment === null) return [reason('deployment_deleted', 'Its deployment has been deleted.')];
  const limit = deployment.global_concurrency_limit;
  if (!limit?.active || limit.active_slots < limit.limit) return [];
  const message = `The limit of its deployment ${deployment.name} is full: ${limit.limit} at a time.`;
  return [reason('deployment_limit_full', message, others(run, inDeployment))];
}

function ofPool(run: PlacedRun, { pool, deployment, inPool }: Place): Reason[] {
  const name = run.work_pool_name ?? '';
  // Prefect takes a run out of a pool or queue that is deleted; what stays is the name of its queue.
  if (pool === null || (pool === undefined && run.work_queue_name)) return [queueDeleted(run)];
  if (pool === undefined)
    return deployment
      ? [reason('no_work_pool', 'It is in no work pool: only a process that serves its deployment takes it.')]
      : [];
  const paused = pool.is_paused ? [reason('work_pool_paused', `Its work pool ${name} is paused.`)] : [];
  const limit = pool.concurrency_limit ?? Infinity;
  if (inPool.length < limit) return paused;
  return [
    ...paused,
    reason('work_pool_limit_full', `The limit of its work pool ${name} is full: ${limit} at a time.`, inPool),
  ];
}

function ofQueue(run: PlacedRun, { pool, queue, inPool }: Place): Reason[] {
  const name = run.work_queue_name ?? '';
  if (!pool || queue === undefined) return [];
  if (queue === null) return [queueDeleted(run)];
  const paused = queue.is_paused ? [reason('work_queue_paused', `Its work queue ${name} is paused.`)] : [];
  const limit = queue.concurrency_limit ?? Infinity;
  const inQueue = inPool.filter((one) => one.work_queue_id === queue.id);
  if (inQueue.length < limit) return paused;
  return [
    ...paused,
    reason(
      'work_queue_limit_full',
      `The limit of its work queue ${name} is full: ${limit} at a time.`,
      inQueue,
    ),
  ];
}

function queueDeleted({ work_queue_name: queue }: PlacedRun): Reason {
  const message = `Its work queue ${queue ?? ''} has been deleted, or the work pool that it was in: no worker takes it.`;
  return reason('work_queue_deleted', message);
}

function workers(run: PlacedRun, { pool, queue, hasWorkers, workers: online }: Place): Reason[] {
  if (!pool || !hasWorkers) return [];
  if (online === 0) return [noWorker(run, 'nobody takes it')];
  if (!queue || queue.is_paused || pool.is_paused) return [];
  const polled = queue.last_polled;
  if (polled && since(polled) < NOT_POLLED_AFTER) return [];
  const when = polled ? `for ${Math.round(since(polled))} s` : 'yet';
  const message = `Its work pool has a worker, but none has asked for runs of the work queue ${run.work_queue_name ?? ''} ${when}.`;
  return [reason('queue_not_polled', message)];
}

function schedule({ deployment }: Place): Reason[] {
  if (!deployment?.paused) return [];
  return [
    reason('schedule_paused', `Its deployment ${deployment.name} is paused: its schedule makes no new runs.`),
  ];
}

function noWorker({ work_pool_name: pool }: PlacedRun, so: string): Reason {
  return reason('no_online_worker', `No worker of its work pool ${pool ?? ''} is online: ${so}.`);
}

function others(run: PlacedRun, occupants: Occupant[]): Occupant[] {
  return occupants.filter(({ id }) => id !== run.id);
}
