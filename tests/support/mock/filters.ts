import { defaulted, int, list, model, oneOf, optional, params, text, time, uuid, bool } from './validate.js';
import type { Field } from './validate.js';
import { stateType } from './run-states.js';
import type { FlowRun, Run, State, TaskRun, Deployment, Flow, WorkPool, WorkQueue } from './state.js';
import type { Micros } from './time.js';
import { Refusal } from './http.js';

type Test = boolean | undefined;

/** The tests of the filters that were given, joined by the operator of their group. */
export function join(operator: 'and_' | 'or_', ...tests: Test[]): boolean {
  const given = tests.filter((test) => test !== undefined);
  if (given.length === 0) return true;
  return operator === 'and_' ? given.every(Boolean) : given.some(Boolean);
}

export const operator = defaulted(oneOf('and_', 'or_'), () => 'and_' as const);
export const ids = optional(model({ any_: optional(list(uuid)) }));
const idsOrNot = optional(model({ any_: optional(list(uuid)), not_any_: optional(list(uuid)) }));
const parentIds = optional(model({ operator, any_: optional(list(uuid)), is_null_: optional(bool) }));
export const names = optional(model({ any_: optional(list(text)), like_: optional(text) }));
const words = <T>(word: Field<T>) =>
  optional(model({ any_: optional(list(word)), not_any_: optional(list(word)) }));
const states = optional(model({ operator, type: words(stateType), name: words(text) }));
const range = { before_: optional(time), after_: optional(time) };
const times = optional(model(range));
const nullableTimes = optional(model({ ...range, is_null_: optional(bool) }));
const tags = optional(
  model({ operator, all_: optional(list(text)), any_: optional(list(text)), is_null_: optional(bool) }),
);

interface Words<T> {
  any_?: T[] | null;
  not_any_?: T[] | null;
  like_?: string | null;
  is_null_?: boolean | null;
}

export function matchWord(filter: Words<string> | null, value: string | null): Test {
  if (filter === null) return undefined;
  const { any_, not_any_, like_, is_null_ } = filter;
  if (any_ && (value === null || !any_.includes(value))) return false;
  if (not_any_ && (value === null || not_any_.includes(value))) return false;
  if (like_ && !(value ?? '').toLowerCase().includes(like_.toLowerCase())) return false;
  return typeof is_null_ !== 'boolean' || is_null_ === (value === null);
}

interface Range {
  before_: Micros | null;
  after_: Micros | null;
  is_null_?: boolean | null;
}

export function matchTime(filter: Range | null, value: Micros | null): Test {
  if (filter === null) return undefined;
  if (filter.before_ !== null && (value === null || value > filter.before_)) return false;
  if (filter.after_ !== null && (value === null || value < filter.after_)) return false;
  return typeof filter.is_null_ !== 'boolean' || filter.is_null_ === (value === null);
}

interface Tags {
  operator: 'and_' | 'or_';
  all_: string[] | null;
  any_: string[] | null;
  is_null_: boolean | null;
}

function matchTags(filter: Tags | null, value: string[]): Test {
  if (filter === null) return undefined;
  const { all_, any_, is_null_ } = filter;
  return join(
    filter.operator,
    all_ === null ? undefined : all_.every((tag) => value.includes(tag)),
    any_ === null ? undefined : any_.some((tag) => value.includes(tag)),
    is_null_ === null ? undefined : is_null_ === (value.length === 0),
  );
}

type StateFilter = ReturnType<typeof states.parse>;

function matchState(filter: StateFilter, run: Run): Test {
  if (filter === null) return undefined;
  const { type, name } = filter;
  return join(
    filter.operator,
    matchWord(type, run.state?.type ?? null),
    matchWord(name, run.state?.name ?? null),
  );
}

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

function parentWords() {
  return optional(model({ operator, any_: optional(list(text)), is_null_: optional(bool) }));
}

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
    matchTime(filter.start_time && { ...filter.start_time, is_null_: null }, start),
    matchTime(filter.start_time && { ...filter.start_time, before_: null, after_: null }, run.start),
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
    matchWord(filter.flow_run_id, run.flowRunId),
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

export const offset = defaulted(int(0), () => 0);
export const page = defaulted(int(1), () => 1);
/** The limit is checked by a dependency of its own, with another error shape than the rest. */
export const limit = optional(int());

export function limitOf(state: State, given: number | null): number {
  const value = given ?? state.pageLimit;
  if (value < 0) throw new Refusal(422, { detail: 'Invalid limit: must be greater than or equal to 0.' });
  if (value > state.pageLimit) {
    const detail = `Invalid limit: must be less than or equal to ${state.pageLimit}.`;
    throw new Refusal(422, { detail });
  }
  return value;
}
