import {
  ids,
  idsOrNot,
  join,
  matchStart,
  matchState,
  matchTags,
  matchTime,
  matchWord,
  names,
  nullableTimes,
  operator,
  parentIds,
  parentWords,
  states,
  tags,
  times,
  words,
} from './match.js';
import {
  type Deployment,
  type Flow,
  type FlowRun,
  type State,
  type TaskRun,
  type WorkPool,
  type WorkQueue,
} from './state.js';
import { bool, list, model, optional, params, text, uuid } from './validate.js';

export const flowRunFilter = optional(
  model({
    operator,
    id: idsOrNot,
    name: names,
    tags,
    deployment_id: parentIds,
    work_queue_name: parentWords(),
    state: states,
    start_time: nullableTimes,
    end_time: nullableTimes,
    expected_start_time: times,
    next_scheduled_start_time: times,
    parent_flow_run_id: optional(model({ operator, any_: optional(list(uuid)) })),
    parent_task_run_id: parentIds,
    idempotency_key: words(text),
  }),
);

export function matchFlowRun(
  state: State,
  filter: ReturnType<typeof flowRunFilter.parse>,
  run: FlowRun,
): boolean {
  if (filter === null) return true;
  const parent = run.parentTaskRunId === null ? undefined : state.taskRuns.get(run.parentTaskRunId);
  // The server sorts and filters by the start that a run has or is expected to have.
  const start = run.start ?? run.expectedStart;
  return join(
    filter.operator,
    matchWord(filter.id, run.id),
    matchWord(filter.name, run.name),
    matchTags(filter.tags, run.tags),
    matchWord(filter.deployment_id, run.deploymentId),
    matchWord(filter.work_queue_name, run.queueName),
    matchState(filter.state, run),
    matchStart(filter.start_time, start, run.start),
    matchTime(filter.end_time, run.end),
    matchTime(filter.expected_start_time, run.expectedStart),
    matchTime(filter.next_scheduled_start_time, run.nextScheduledStart),
    matchWord(filter.parent_flow_run_id, parent?.flowRunId ?? null),
    matchWord(filter.parent_task_run_id, run.parentTaskRunId),
    matchWord(filter.idempotency_key, run.idempotencyKey),
  );
}

export const taskRunFilter = optional(
  model({
    operator,
    id: ids,
    name: names,
    tags,
    state: states,
    start_time: nullableTimes,
    end_time: nullableTimes,
    expected_start_time: times,
    subflow_runs: optional(model({ exists_: optional(bool) })),
    flow_run_id: parentIds,
  }),
);

export function matchTaskRun(
  state: State,
  filter: ReturnType<typeof taskRunFilter.parse>,
  run: TaskRun,
): boolean {
  if (filter === null) return true;
  const wantsSubflow = filter.subflow_runs?.exists_ ?? null;
  // Null wins over the ids, and ids over not null.
  const parent = filter.flow_run_id && { ...filter.flow_run_id };
  if (parent?.is_null_ === true) parent.any_ = null;
  else if (parent !== null && parent.any_ !== null) parent.is_null_ = null;
  const hasSubflow = () => [...state.flowRuns.values()].some((child) => child.parentTaskRunId === run.id);
  return join(
    filter.operator,
    matchWord(filter.id, run.id),
    matchWord(filter.name, run.name),
    matchTags(filter.tags, run.tags),
    matchState(filter.state, run),
    matchTime(filter.start_time, run.start),
    matchTime(filter.end_time, run.end),
    matchTime(filter.expected_start_time, run.expectedStart),
    wantsSubflow === null ? undefined : hasSubflow() === wantsSubflow,
    matchWord(parent, run.flowRunId),
  );
}

export const flowFilter = optional(model({ operator, id: ids, name: names, tags }));

export function matchFlow(filter: ReturnType<typeof flowFilter.parse>, flow: Flow | undefined): boolean {
  if (filter === null) return true;
  if (flow === undefined) return false;
  return join(
    filter.operator,
    matchWord(filter.id, flow.id),
    matchWord(filter.name, flow.name),
    matchTags(filter.tags, flow.tags),
  );
}

export const deploymentFilter = optional(
  model({
    operator,
    id: ids,
    name: names,
    flow_or_deployment_name: optional(model({ like_: optional(text) })),
    paused: optional(model({ eq_: optional(bool) })),
    tags,
    work_queue_name: optional(model({ any_: optional(list(text)) })),
  }),
);

export function matchDeployment(
  state: State,
  filter: ReturnType<typeof deploymentFilter.parse>,
  deployment: Deployment | undefined,
): boolean {
  if (filter === null) return true;
  if (deployment === undefined) return false;
  const either = filter.flow_or_deployment_name;
  const paused = filter.paused?.eq_;
  const flow = state.flows.get(deployment.flowId)?.name ?? '';
  return join(
    filter.operator,
    matchWord(filter.id, deployment.id),
    matchWord(filter.name, deployment.name),
    either === null
      ? undefined
      : matchWord(either, deployment.name) === true || matchWord(either, flow) === true,
    typeof paused !== 'boolean' ? undefined : paused === deployment.paused,
    matchTags(filter.tags, deployment.tags),
    matchWord(filter.work_queue_name, deployment.queueName),
  );
}

export const workPoolFilter = optional(
  model({
    operator,
    id: ids,
    name: optional(model({ any_: optional(list(text)) })),
    type: optional(model({ any_: optional(list(text)) })),
  }),
);

export function matchPool(
  filter: ReturnType<typeof workPoolFilter.parse>,
  pool: WorkPool | undefined,
): boolean {
  if (filter === null) return true;
  if (pool === undefined) return false;
  return join(
    filter.operator,
    matchWord(filter.id, pool.id),
    matchWord(filter.name, pool.name),
    matchWord(filter.type, pool.type),
  );
}

export const workQueueFilter = optional(
  model({
    operator,
    id: ids,
    name: optional(model({ any_: optional(list(text)), startswith_: optional(list(text)) })),
  }),
);

export function matchQueue(
  filter: ReturnType<typeof workQueueFilter.parse>,
  queue: WorkQueue | undefined,
): boolean {
  if (filter === null) return true;
  if (queue === undefined) return false;
  const starts = filter.name?.startswith_ ?? null;
  return join(
    filter.operator,
    matchWord(filter.id, queue.id),
    matchWord(filter.name, queue.name),
    starts === null ? undefined : starts.some((start) => queue.name.startsWith(start)),
  );
}

/** The filters of other nouns that runs and deployments can be asked for by. */
export const related = {
  flows: flowFilter,
  flow_runs: flowRunFilter,
  task_runs: taskRunFilter,
  deployments: deploymentFilter,
  work_pools: workPoolFilter,
  work_pool_queues: workQueueFilter,
};
export type Related = ReturnType<(typeof relatedOnly)['parse']>;
export const relatedOnly = params(related);
