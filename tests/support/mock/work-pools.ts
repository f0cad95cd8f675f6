import { poolView, queueView, runsOf, workerStatus, workerView } from './work-pool-views.js';
import { markReady } from './deployment-model.js';
import { matchPool, matchQueue, workPoolFilter, workQueueFilter } from './filters.js';
import { coreFlowRunView } from './flow-run-model.js';
import { compare } from './flows.js';
import { Refusal, type Route, conflict, created, noContent, route, serverError } from './http.js';
import { join, matchTime, operator } from './match.js';
import { limit, limitOf, offset } from './paging.js';
import { addPool, addQueue, poolByName, queueByName, queuesOf } from './queues.js';
import { type State, type Worker, find, row } from './state.js';
import { now, nowMillis } from './time.js';
import {
  anything,
  bool,
  defaulted,
  dict,
  int,
  list,
  model,
  name,
  oneOf,
  optional,
  params,
  text,
  time,
} from './validate.js';

const poolCreate = model({
  name,
  description: optional(text),
  type: defaulted(text, () => 'prefect-agent'),
  base_job_template: defaulted(dict, () => ({})),
  is_paused: defaulted(bool, () => false),
  concurrency_limit: optional(int(0)),
  storage_configuration: optional(anything),
});
const queueCreate = model({
  name,
  description: optional(text),
  is_paused: defaulted(bool, () => false),
  concurrency_limit: optional(int(0)),
  priority: optional(int(1)),
  filter: optional(anything),
});
const heartbeat = params({ name: text, heartbeat_interval_seconds: optional(int()) });
const workerFilter = params({
  workers: optional(
    model({
      operator,
      last_heartbeat_time: optional(model({ before_: optional(time), after_: optional(time) })),
      status: optional(
        model({ any_: optional(list(oneOf('ONLINE', 'OFFLINE'))), not_any_: optional(list(text)) }),
      ),
    }),
  ),
  limit,
  offset,
});
const scheduled = params({
  work_queue_names: defaulted(list(text), () => []),
  scheduled_before: optional(time),
  scheduled_after: optional(time),
  limit,
});
const pools = params({ work_pools: workPoolFilter, limit, offset });
const queues = params({ work_queues: workQueueFilter, limit, offset });

export function workPoolRoutes(state: State): Route[] {
  const pool = (params: Record<string, string>) => poolByName(state, params['pool'] ?? '');
  return [
    route('post', '/work_pools/', async (call) => {
      const wanted = await call.read(poolCreate);
      if (wanted.name.toLowerCase().startsWith('prefect')) {
        throw new Refusal(403, {
          detail: "Work pools starting with 'Prefect' are reserved for internal use.",
        });
      }
      const taken = find(state.pools, (item) => item.name === wanted.name) !== undefined;
      if (taken) throw conflict('A work pool with this name already exists.');
      const { name: poolName, type, description, base_job_template, is_paused, concurrency_limit } = wanted;
      const rest = { description, template: base_job_template, paused: is_paused, limit: concurrency_limit };
      return created(poolView(state, addPool(state, { name: poolName, type, ...rest })));
    }),
    route('post', '/work_pools/filter', async (call) => {
      const wanted = await call.read(pools);
      const most = limitOf(state, wanted.limit);
      const found = [...state.pools.values()]
        .filter((item) => matchPool(wanted.work_pools, item))
        .sort((a, b) => compare(a.name, b.name));
      return found.slice(wanted.offset, wanted.offset + most).map((item) => poolView(state, item));
    }),
    route('get', '/work_pools/:pool', ({ params }) => poolView(state, pool(params))),
    route('delete', '/work_pools/:pool', ({ params }) => {
      const { id } = pool(params);
      state.pools.delete(id);
      for (const queue of state.queues.values()) if (queue.poolId === id) state.queues.delete(queue.id);
      for (const worker of state.workers.values()) if (worker.poolId === id) state.workers.delete(worker.id);
      return noContent();
    }),
    route('post', '/work_pools/:pool/queues', async (call) => {
      const wanted = await call.read(queueCreate);
      const owner = pool(call.params);
      if (queuesOf(state, owner).some((item) => item.name === wanted.name)) {
        // The braces are the server's own slip.
        throw conflict('A work queue with this name already exists in work pool {work_pool_name!r}.');
      }
      const { name: queueName, description, is_paused: paused, concurrency_limit, priority } = wanted;
      const given = { name: queueName, description: description ?? '', paused, limit: concurrency_limit };
      const queue = addQueue(state, owner, priority === null ? given : { ...given, priority });
      return created(queueView(state, queue));
    }),
    route('get', '/work_pools/:pool/queues/:queue', ({ params }) =>
      queueView(state, queueByName(state, params['pool'] ?? '', params['queue'] ?? '')),
    ),
    route('delete', '/work_pools/:pool/queues/:queue', ({ params }) => {
      const { id } = queueByName(state, params['pool'] ?? '', params['queue'] ?? '');
      // The server means to say no, and fails.
      if (pool(params).defaultQueueId === id) throw serverError();
      state.queues.delete(id);
      return noContent();
    }),
    route('post', '/work_pools/:pool/queues/filter', async (call) => {
      const wanted = await call.read(queues);
      const most = limitOf(state, wanted.limit);
      const found = queuesOf(state, pool(call.params)).filter((item) => matchQueue(wanted.work_queues, item));
      return found.slice(wanted.offset, wanted.offset + most).map((item) => queueView(state, item));
    }),
    route('post', '/work_queues/filter', async (call) => {
      const wanted = await call.read(queues);
      const most = limitOf(state, wanted.limit);
      const found = [...state.queues.values()].filter((item) => matchQueue(wanted.work_queues, item));
      return found.slice(wanted.offset, wanted.offset + most).map((item) => queueView(state, item));
    }),
    route('post', '/work_pools/:pool/workers/heartbeat', async (call) => {
      const wanted = await call.read(heartbeat);
      const owner = pool(call.params);
      const known = find(state.workers, (item) => item.poolId === owner.id && item.name === wanted.name);
      const fresh = { ...row(), name: wanted.name, poolId: owner.id, heartbeat: now(), interval: null };
      const worker: Worker = known ?? fresh;
      worker.heartbeat = now();
      worker.interval = wanted.heartbeat_interval_seconds ?? worker.interval;
      state.workers.set(worker.id, worker);
      if (owner.status === 'NOT_READY') Object.assign(owner, { status: 'READY', updated: nowMillis() });
      return noContent();
    }),
    route('post', '/work_pools/:pool/workers/filter', async (call) => {
      const wanted = await call.read(workerFilter);
      const most = limitOf(state, wanted.limit);
      const owner = pool(call.params);
      const found = [...state.workers.values()].filter((worker) => {
        if (worker.poolId !== owner.id) return false;
        if (wanted.workers === null) return true;
        const { operator: op, last_heartbeat_time, status } = wanted.workers;
        const any = status?.any_ ?? null;
        const statusFits = any === null ? undefined : any.includes(workerStatus(worker));
        return join(op, matchTime(last_heartbeat_time, worker.heartbeat), statusFits);
      });
      found.sort((a, b) => b.heartbeat - a.heartbeat);
      return found.slice(wanted.offset, wanted.offset + most).map(workerView);
    }),
    route('post', '/work_pools/:pool/get_scheduled_flow_runs', async (call) => {
      const wanted = await call.read(scheduled);
      const most = limitOf(state, wanted.limit);
      const owner = pool(call.params);
      const named = wanted.work_queue_names.map((queue) => queueByName(state, owner.name, queue));
      const polled = named.length > 0 ? named : queuesOf(state, owner);
      const runs = runsOf(state, polled).filter((run) => {
        const due = run.nextScheduledStart ?? 0;
        return due <= (wanted.scheduled_before ?? Infinity) && due >= (wanted.scheduled_after ?? 0);
      });
      for (const queue of polled) Object.assign(queue, { lastPolled: now(), updated: nowMillis() });
      const ids = polled.map((queue) => queue.id);
      markReady([...state.deployments.values()].filter((item) => ids.includes(item.queueId ?? '')));
      return runs.slice(0, most).map((run) => ({
        work_pool_id: owner.id,
        work_queue_id: run.queueId,
        flow_run: coreFlowRunView(state, run),
      }));
    }),
  ];
}
