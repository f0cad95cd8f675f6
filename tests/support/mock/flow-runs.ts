import { deleteFlowRun } from './deletes.js';
import { related, relatedOnly } from './filters.js';
import {
  FLOW_RUN_SORTS,
  findFlowRuns,
  flowRunView,
  newFlowRun,
  newPolicy,
  policy,
} from './flow-run-model.js';
import {
  Reply,
  type Route,
  created,
  integrity,
  noContent,
  notFound,
  objectNotFound,
  route,
  serverError,
} from './http.js';
import { beyond64Bits, isObj } from './json.js';
import { enterFlowRunState, setFlowRunState } from './orchestrate.js';
import { limit, limitOf, offset, page, paged } from './paging.js';
import { sized } from './parameters.js';
import { defaultQueue, queueByName } from './queues.js';
import { type StateCreate, makeState, plainState, stateCreate } from './run-states.js';
import { slug } from './slug.js';
import { type FlowRun, type State, find } from './state.js';
import { formatTime, nowMillis } from './time.js';
import {
  bool,
  defaulted,
  dict,
  labels,
  list,
  model,
  oneOf,
  optional,
  params,
  text,
  uuid,
  whole,
} from './validate.js';

const create = model({
  state: optional(stateCreate),
  name: optional(text),
  flow_id: uuid,
  flow_version: optional(text),
  parameters: defaulted(sized, () => ({})),
  context: defaulted(dict, () => ({})),
  parent_task_run_id: optional(uuid),
  infrastructure_document_id: optional(uuid),
  empirical_policy: policy,
  tags: defaulted(list(text), () => []),
  labels: optional(labels),
  idempotency_key: optional(text),
  work_pool_name: optional(text),
  work_queue_name: optional(text),
  job_variables: optional(dict),
  deployment_id: optional(uuid),
});

const update = model({
  name: optional(text),
  flow_version: optional(text),
  parameters: optional(sized),
  empirical_policy: policy,
  tags: optional(list(text)),
  infrastructure_pid: optional(text),
  job_variables: optional(dict),
});

export const setState = params({ state: stateCreate, force: defaulted(bool, () => false) });
const sort = defaulted(oneOf(...FLOW_RUN_SORTS), () => 'ID_DESC' as const);
const filter = params({ limit, sort, offset, ...related });
const history = params({
  limit: defaulted(whole({ le: 1_000 }), () => 1_000),
  sort: defaulted(oneOf(...FLOW_RUN_SORTS), () => 'EXPECTED_START_TIME_DESC' as const),
  offset,
  ...related,
});
const paginate = params({ limit, sort, page, ...related });

export function flowRunRoutes(state: State): Route[] {
  const read = (id: string | undefined): FlowRun => {
    const run = state.flowRuns.get(id ?? '');
    if (run === undefined) throw notFound('Flow run not found');
    return run;
  };
  return [
    route('post', '/flow_runs/', async (call) => addFlowRun(state, await call.read(create))),
    route('post', '/flow_runs/filter', async (call) => {
      const wanted = await call.read(filter);
      const most = limitOf(state, wanted.limit);
      const found = findFlowRuns(state, wanted, wanted.sort);
      return viewAll(state, found.slice(wanted.offset, wanted.offset + most));
    }),
    route(
      'post',
      '/flow_runs/count',
      async (call) => findFlowRuns(state, await call.read(relatedOnly)).length,
    ),
    route('post', '/flow_runs/paginate', async (call) => {
      const wanted = await call.read(paginate);
      const found = findFlowRuns(state, wanted, wanted.sort);
      return paged(state, wanted, found, (runs) => viewAll(state, runs));
    }),
    // Reads no labels, and so shows runs whose labels make every other list a 500.
    route('post', '/ui/flow_runs/history', async (call) => {
      const wanted = await call.read(history);
      const found = findFlowRuns(state, wanted, wanted.sort);
      return found.slice(wanted.offset, wanted.offset + wanted.limit).map((run) => {
        const begun = run.start ?? run.expectedStart;
        return {
          id: run.id,
          state_type: run.state?.type ?? null,
          timestamp: begun === null ? null : formatTime(begun),
          duration: 0,
          lateness: 0,
        };
      });
    }),
    route('patch', '/flow_runs/:id', async (call) => {
      const wanted = await call.read(update);
      const given = await call.raw();
      const run = read(call.params['id']);
      run.name = wanted.name ?? run.name;
      run.parameters = wanted.parameters ?? run.parameters;
      run.tags = wanted.tags ?? run.tags;
      if (wanted.empirical_policy !== null) run.policy = newPolicy(wanted.empirical_policy);
      if (isObj(given) && 'infrastructure_pid' in given) run.infrastructurePid = wanted.infrastructure_pid;
      run.updated = nowMillis();
      return noContent();
    }),
    route('get', '/flow_runs/:id', ({ params: { id } }) => flowRunView(state, read(id))),
    route('delete', '/flow_runs/:id', ({ params: { id } }) => {
      deleteFlowRun(state, read(id));
      return noContent();
    }),
    route('patch', '/flow_runs/:id/labels', async (call) => {
      const added = await call.read(dict);
      const run = orMissing(state, call.params['id']);
      run.labels = { ...run.labels, ...added };
      run.updated = nowMillis();
      return noContent();
    }),
    route('post', '/flow_runs/:id/set_state', async (call) => {
      const wanted = await call.read(setState);
      const run = orMissing(state, call.params['id']);
      const { body, changed } = setFlowRunState(state, run, makeState(wanted.state), wanted.force);
      return new Reply(changed ? 201 : 200, body);
    }),
  ];
}

function orMissing(state: State, id = ''): FlowRun {
  const run = state.flowRuns.get(id);
  if (run === undefined) throw objectNotFound(`Flow run with id ${id} not found`);
  return run;
}

export function viewAll(state: State, runs: FlowRun[]): unknown[] {
  if (runs.some((run) => beyond64Bits(run.parameters))) throw serverError();
  return runs.map((run) => flowRunView(state, run));
}

type Create = ReturnType<typeof create.parse>;

function addFlowRun(state: State, wanted: Create): Reply {
  const { work_pool_name: pool, work_queue_name: queueName } = wanted;
  const queue =
    pool === null
      ? null
      : queueName === null
        ? defaultQueue(state, pool)
        : queueByName(state, pool, queueName);
  const flow = state.flows.get(wanted.flow_id);
  const parent = wanted.parent_task_run_id;
  if (flow === undefined || (parent !== null && !state.taskRuns.has(parent))) throw integrity();
  const run = newFlowRun({
    name: wanted.name ?? slug(),
    flowId: flow.id,
    flowVersion: wanted.flow_version,
    parameters: wanted.parameters,
    context: wanted.context,
    tags: [...new Set(wanted.tags)],
    labels: {
      ...flow.labels,
      'prefect.flow.id': flow.id,
      ...deploymentLabel(state, wanted),
      ...wanted.labels,
    },
    deploymentId: wanted.deployment_id,
    parentTaskRunId: parent,
    policy: newPolicy(wanted.empirical_policy),
    idempotencyKey: wanted.idempotency_key,
    queueId: queue?.id ?? null,
    queueName: queue?.name ?? null,
    // The upsert by key leaves out a column that the plain insert fills.
    jobVariables: wanted.job_variables ?? (wanted.idempotency_key === null ? {} : null),
  });
  return insertFlowRun(state, run, wanted.state, 'PENDING');
}

function deploymentLabel(state: State, wanted: Create): Record<string, string> {
  const id = wanted.deployment_id;
  return id !== null && state.deployments.has(id) ? { 'prefect.deployment.id': id } : {};
}

/** Idempotency keys are unique per flow, whatever the deployment and the payload. */
export function insertFlowRun(
  state: State,
  run: FlowRun,
  wanted: StateCreate | null,
  type: 'PENDING' | 'SCHEDULED',
): Reply {
  const key = run.idempotencyKey;
  const twin = (other: FlowRun) => other.flowId === run.flowId && other.idempotencyKey === key;
  const existing = key === null ? undefined : find(state.flowRuns, twin);
  if (existing !== undefined) return new Reply(200, flowRunView(state, existing));
  // Result metadata of an unknown kind is taken by set_state, and breaks a creation.
  if (isObj(wanted?.data) && wanted.data['type'] === undefined) throw serverError();
  state.flowRuns.set(run.id, run);
  enterFlowRunState(state, run, wanted === null ? plainState(type) : makeState(wanted));
  return created(flowRunView(state, run));
}
