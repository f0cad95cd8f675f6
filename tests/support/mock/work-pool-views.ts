import { type Obj } from './json.js';
import { queuesOf } from './queues.js';
import { type State, type WorkPool, type WorkQueue, type Worker } from './state.js';
import { formatOptional, formatTime, now } from './time.js';

export function runsOf(state: State, queuesAsked: WorkQueue[]) {
  const ids = queuesAsked.map((queue) => queue.id);
  return [...state.flowRuns.values()]
    .filter((run) => run.state?.type === 'SCHEDULED' && ids.includes(run.queueId ?? ''))
    .sort((a, b) => (a.nextScheduledStart ?? 0) - (b.nextScheduledStart ?? 0));
}

function busy(state: State, ids: string[]): number {
  const types = ['PENDING', 'RUNNING'];
  const runs = [...state.flowRuns.values()].filter((run) => ids.includes(run.queueId ?? ''));
  return runs.filter((run) => types.includes(run.state?.type ?? '')).length;
}

export function poolView(state: State, pool: WorkPool): Obj {
  const ids = queuesOf(state, pool).map((queue) => queue.id);
  return {
    id: pool.id,
    created: formatTime(pool.created),
    updated: formatTime(pool.updated),
    name: pool.name,
    description: pool.description,
    type: pool.type,
    base_job_template: pool.template,
    is_paused: pool.paused,
    concurrency_limit: pool.limit,
    status: pool.status,
    default_queue_id: pool.defaultQueueId,
    storage_configuration: {
      bundle_upload_step: null,
      bundle_execution_step: null,
      default_result_storage_block_id: null,
    },
    active_slots: pool.limit === null ? null : busy(state, ids),
  };
}

export function queueView(state: State, queue: WorkQueue): Obj {
  const recent = queue.lastPolled !== null && now() - queue.lastPolled < 60_000_000;
  return {
    id: queue.id,
    created: formatTime(queue.created),
    updated: formatTime(queue.updated),
    name: queue.name,
    description: queue.description,
    is_paused: queue.paused,
    concurrency_limit: queue.limit,
    priority: queue.priority,
    work_pool_id: queue.poolId,
    filter: null,
    last_polled: formatOptional(queue.lastPolled),
    work_pool_name: state.pools.get(queue.poolId)?.name ?? null,
    status: queue.paused ? 'PAUSED' : recent ? 'READY' : 'NOT_READY',
    active_slots: queue.limit === null ? null : busy(state, [queue.id]),
  };
}

export function workerStatus(worker: Worker): 'ONLINE' | 'OFFLINE' {
  const patience = (worker.interval ?? 30) * 3 * 1_000_000;
  return now() - worker.heartbeat < patience ? 'ONLINE' : 'OFFLINE';
}

export function workerView(worker: Worker): Obj {
  return {
    id: worker.id,
    created: formatTime(worker.created),
    updated: formatTime(worker.updated),
    name: worker.name,
    work_pool_id: worker.poolId,
    last_heartbeat_time: formatTime(worker.heartbeat),
    heartbeat_interval_seconds: worker.interval,
    status: workerStatus(worker),
  };
}
