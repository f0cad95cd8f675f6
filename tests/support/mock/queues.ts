import { notFound } from './http.js';
import { type State, type WorkPool, type WorkQueue, find, row } from './state.js';

export const AGENT_POOL = 'default-agent-pool';

export function poolByName(state: State, name: string): WorkPool {
  const pool = find(state.pools, (item) => item.name === name);
  if (pool === undefined) throw notFound(`Work pool "${name}" not found.`);
  return pool;
}

export function defaultQueue(state: State, poolName: string): WorkQueue | null {
  return state.queues.get(poolByName(state, poolName).defaultQueueId) ?? null;
}

export function queuesOf(state: State, pool: WorkPool): WorkQueue[] {
  const queues = [...state.queues.values()].filter((queue) => queue.poolId === pool.id);
  return queues.sort((a, b) => a.priority - b.priority);
}

export function queueByName(state: State, poolName: string, name: string): WorkQueue {
  const pool = find(state.pools, (item) => item.name === poolName);
  const queue = pool && queuesOf(state, pool).find((item) => item.name === name);
  if (queue === undefined) throw notFound(`Work pool queue '${poolName}/${name}' not found.`);
  return queue;
}

export function ensureQueue(state: State, poolName: string, name: string): WorkQueue {
  const pool = poolByName(state, poolName);
  return queuesOf(state, pool).find((item) => item.name === name) ?? addQueue(state, pool, { name });
}

/** A new queue without a priority goes last; one that takes a priority pushes the others down. */
export function addQueue(
  state: State,
  pool: WorkPool,
  given: Partial<WorkQueue> & { name: string },
): WorkQueue {
  const others = queuesOf(state, pool);
  const priority = given.priority ?? Math.max(0, ...others.map((queue) => queue.priority)) + 1;
  let taken = priority;
  for (const other of others) {
    if (other.priority !== taken) continue;
    other.priority += 1;
    taken += 1;
  }
  const queue: WorkQueue = {
    ...row(),
    description: '',
    paused: false,
    limit: null,
    lastPolled: null,
    ...given,
    poolId: pool.id,
    priority,
  };
  state.queues.set(queue.id, queue);
  return queue;
}

export function addPool(state: State, given: Partial<WorkPool> & { name: string; type: string }): WorkPool {
  const pool: WorkPool = {
    ...row(),
    description: null,
    template: {},
    paused: false,
    limit: null,
    status: 'NOT_READY',
    ...given,
    defaultQueueId: '',
  };
  state.pools.set(pool.id, pool);
  const description = "The work pool's default queue.";
  pool.defaultQueueId = addQueue(state, pool, { name: 'default', description }).id;
  return pool;
}

/** A queue named without its pool is looked up, and made, in the agents' pool of old. */
export function agentQueue(state: State, name: string): WorkQueue {
  const known = find(state.pools, (item) => item.name === AGENT_POOL);
  const pool = known ?? addPool(state, { name: AGENT_POOL, type: 'prefect-agent', status: null });
  return queuesOf(state, pool).find((item) => item.name === name) ?? addQueue(state, pool, { name });
}
