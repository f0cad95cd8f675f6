import {
  type Related,
  matchDeployment,
  matchFlow,
  matchFlowRun,
  matchPool,
  matchQueue,
  matchTaskRun,
} from './filters.js';
import { compare } from './flows.js';
import { serverError } from './http.js';
import { type Obj, float, isObj } from './json.js';
import { estimatedRunTime, startDelta, stateView } from './run-states.js';
import { type FlowRun, type RunPolicy, type State, row } from './state.js';
import { formatOptional, formatTime } from './time.js';
import { type Field, type Out, int, model, optional } from './validate.js';

const seconds = (micros: number) => float(micros / 1_000_000);

/** A label that is no plain value is stored without a word, and breaks every read of the run from then on. */
function labels(run: FlowRun): Obj {
  const plain = Object.values(run.labels).every(
    (value) => value !== null && !isObj(value) && !Array.isArray(value),
  );
  if (!plain) throw serverError();
  return run.labels;
}

export function flowRunView(state: State, run: FlowRun): Obj {
  const queue = run.queueId === null ? undefined : state.queues.get(run.queueId);
  const pool = queue && state.pools.get(queue.poolId);
  return {
    id: run.id,
    created: formatTime(run.created),
    updated: formatTime(run.updated),
    name: run.name,
    flow_id: run.flowId,
    state_id: run.state?.id ?? null,
    deployment_id: run.deploymentId,
    deployment_version: run.deploymentVersion,
    work_queue_id: queue?.id ?? null,
    work_queue_name: queue?.name ?? run.queueName,
    flow_version: run.flowVersion,
    parameters: run.parameters,
    idempotency_key: run.idempotencyKey,
    context: run.context,
    empirical_policy: policyView(run),
    tags: run.tags,
    labels: labels(run),
    parent_task_run_id: run.parentTaskRunId,
    ...progress(run),
    auto_scheduled: false,
    infrastructure_document_id: null,
    infrastructure_pid: run.infrastructurePid,
    created_by: null,
    work_pool_id: pool?.id ?? null,
    work_pool_name: pool?.name ?? null,
    state: stateView(run.state),
    job_variables: run.jobVariables,
  };
}

/** The same run as workers get it: without its pool and its state, and in another order. */
export function coreFlowRunView(state: State, run: FlowRun): Obj {
  const moved = ['work_queue_id', 'work_pool_id', 'work_pool_name', 'state', 'job_variables'];
  const whole = flowRunView(state, run);
  const rest = Object.entries(whole).filter(([key]) => !moved.includes(key));
  const { work_queue_id, job_variables } = whole;
  return { ...Object.fromEntries(rest), work_queue_id, state: null, job_variables };
}

function policyView(run: FlowRun): Obj {
  return {
    max_retries: 0,
    retry_delay_seconds: float(0),
    retries: run.policy.retries,
    retry_delay: run.policy.retryDelay,
    pause_keys: [],
    resuming: false,
    retry_type: run.policy.retryType,
  };
}

function progress(run: FlowRun): Obj {
  return {
    state_type: run.state?.type ?? null,
    state_name: run.state?.name ?? null,
    run_count: run.runCount,
    expected_start_time: formatOptional(run.expectedStart),
    next_scheduled_start_time: formatOptional(run.nextScheduledStart),
    start_time: formatOptional(run.start),
    end_time: formatOptional(run.end),
    total_run_time: seconds(run.totalRunTime),
    estimated_run_time: seconds(estimatedRunTime(run)),
    estimated_start_time_delta: seconds(startDelta(run)),
  };
}

/** Of the policy, only what decides whether the server retries. */
export const policy = optional({
  parse: (value, loc, problems) =>
    given.parse(
      isObj(value) ? { ...pick(value, 'retries'), ...pick(value, 'retry_delay') } : value,
      loc,
      problems,
    ),
} satisfies Field<unknown>);
const given = model({ retries: optional(int()), retry_delay: optional(int()) });
const pick = (value: Obj, key: string) => (key in value ? { [key]: value[key] } : {});

export function newPolicy(wanted: Out<typeof policy>): RunPolicy {
  return { retries: wanted?.retries ?? null, retryDelay: wanted?.retry_delay ?? null, retryType: null };
}

export function newFlowRun(given: Partial<FlowRun> & Pick<FlowRun, 'name' | 'flowId'>): FlowRun {
  return {
    ...row(),
    tags: [],
    labels: {},
    state: null,
    history: [],
    runCount: 0,
    expectedStart: null,
    nextScheduledStart: null,
    start: null,
    end: null,
    totalRunTime: 0,
    deploymentId: null,
    deploymentVersion: null,
    queueId: null,
    queueName: null,
    flowVersion: null,
    parameters: {},
    idempotencyKey: null,
    context: {},
    parentTaskRunId: null,
    infrastructurePid: null,
    jobVariables: {},
    policy: { retries: null, retryDelay: null, retryType: null },
    ...given,
  };
}

type Order = (a: FlowRun, b: FlowRun) => number;
type Key = (run: FlowRun) => string | number | null;

/** SQLite puts nulls first going up, last going down. */
function by(key: Key, direction: 1 | -1): Order {
  return (a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === null || y === null) return direction * (x === y ? 0 : x === null ? -1 : 1);
    return direction * (typeof x === 'string' ? compare(x, String(y)) : x - Number(y));
  };
}

export const FLOW_RUN_SORTS = [
  'ID_DESC',
  'START_TIME_ASC',
  'START_TIME_DESC',
  'EXPECTED_START_TIME_ASC',
  'EXPECTED_START_TIME_DESC',
  'NAME_ASC',
  'NAME_DESC',
  'NEXT_SCHEDULED_START_TIME_ASC',
  'END_TIME_DESC',
] as const;
export type FlowRunSort = (typeof FLOW_RUN_SORTS)[number];

const begun: Key = (run) => run.start ?? run.expectedStart;
const ORDER: Record<FlowRunSort, Order> = {
  ID_DESC: by((run) => run.id, -1),
  START_TIME_ASC: by(begun, 1),
  START_TIME_DESC: by(begun, -1),
  EXPECTED_START_TIME_ASC: by((run) => run.expectedStart, 1),
  EXPECTED_START_TIME_DESC: by((run) => run.expectedStart, -1),
  NAME_ASC: by((run) => run.name, 1),
  NAME_DESC: by((run) => run.name, -1),
  NEXT_SCHEDULED_START_TIME_ASC: by((run) => run.nextScheduledStart, 1),
  END_TIME_DESC: by((run) => run.end, -1),
};

export function findFlowRuns(state: State, wanted: Related, sort: FlowRunSort = 'ID_DESC'): FlowRun[] {
  return [...state.flowRuns.values()].filter((run) => matches(state, wanted, run)).sort(ORDER[sort]);
}

function matches(state: State, wanted: Related, run: FlowRun): boolean {
  const queue = run.queueId === null ? undefined : state.queues.get(run.queueId);
  const deployment = run.deploymentId === null ? undefined : state.deployments.get(run.deploymentId);
  return (
    matchFlowRun(state, wanted.flow_runs, run) &&
    matchFlow(wanted.flows, state.flows.get(run.flowId)) &&
    matchDeployment(state, wanted.deployments, deployment) &&
    matchQueue(wanted.work_pool_queues, queue) &&
    matchPool(wanted.work_pools, queue && state.pools.get(queue.poolId)) &&
    (wanted.task_runs === null ||
      [...state.taskRuns.values()].some(
        (task) => task.flowRunId === run.id && matchTaskRun(state, wanted.task_runs, task),
      ))
  );
}
