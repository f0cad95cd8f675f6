import {
  created,
  integrity,
  noContent,
  notFound,
  Reply,
  route,
  serverError,
  conflict,
  type Route,
} from './http.js';
import { limit, limitOf, offset, page, related, relatedOnly } from './filters.js';
import { DEPLOYMENT_SORTS, deploymentView, findDeployments, markReady } from './deployment-model.js';
import { deleteFlowRun } from './deletes.js';
import { paged, viewAll } from './flow-runs.js';
import { isObj } from './json.js';
import { schemaTrouble } from './parameters.js';
import { AGENT_POOL, agentQueue, defaultQueue, ensureQueue, poolByName } from './queues.js';
import { newSchedules, schedulesCreate, scheduleUpdate, scheduleView, updateSchedule } from './schedules.js';
import { find, row, type Deployment, type State, type WorkQueue } from './state.js';
import { createRun } from './deployment-runs.js';
import { compare } from './flows.js';
import { now, nowMillis } from './time.js';
import {
  anything,
  bool,
  defaulted,
  dict,
  field,
  list,
  model,
  oneOf,
  optional,
  params,
  text,
  time,
  uuid,
} from './validate.js';

const common = {
  version: optional(text),
  description: optional(text),
  concurrency_limit: optional(anything),
  concurrency_options: optional(anything),
  global_concurrency_limit_id: optional(uuid),
  parameter_openapi_schema: optional(dict),
  tags: optional(list(text)),
  work_queue_name: optional(text),
  work_pool_name: optional(text),
  path: optional(text),
  job_variables: optional(dict),
  pull_steps: optional(list(dict)),
  entrypoint: optional(text),
  storage_document_id: optional(uuid),
  infrastructure_document_id: optional(uuid),
  version_info: optional(anything),
};
const createFields = model({
  name: text,
  flow_id: uuid,
  paused: defaulted(bool, () => false),
  schedules: defaulted(schedulesCreate, () => []),
  enforce_parameter_schema: defaulted(bool, () => true),
  parameters: optional(dict),
  labels: optional(dict),
  ...common,
});
/** Parameters left out are put into the body before it is looked at: the echo of a refusal shows them. */
const create = field((input, loc, problems) => {
  if (isObj(input) && !('parameters' in input)) input['parameters'] = {};
  return createFields.parse(input, loc, problems);
});
const update = model({
  paused: optional(bool),
  schedules: optional(schedulesCreate),
  parameters: optional(dict),
  enforce_parameter_schema: optional(bool),
  ...common,
});
const sort = defaulted(oneOf(...DEPLOYMENT_SORTS), () => 'NAME_ASC' as const);
const filter = params({ limit, offset, ...related, sort });
const paginate = params({ limit, page, ...related, sort });
const scheduled = params({ deployment_ids: list(uuid), scheduled_before: optional(time), limit });

export function deploymentRoutes(state: State): Route[] {
  const read = (id: string | undefined, detail = 'Deployment not found'): Deployment => {
    const deployment = state.deployments.get(id ?? '');
    if (deployment === undefined) throw notFound(detail);
    return deployment;
  };
  const pause = (id: string | undefined, paused: boolean) => {
    const deployment = read(id);
    deployment.paused = paused;
    deployment.updated = nowMillis();
    return null;
  };
  return [
    route('post', '/deployments/', async (call) => upsert(state, await call.read(create))),
    route('post', '/deployments/filter', async (call) => {
      const wanted = await call.read(filter);
      const most = limitOf(state, wanted.limit);
      const found = findDeployments(state, wanted, wanted.sort).slice(wanted.offset, wanted.offset + most);
      return found.map((item) => deploymentView(state, item));
    }),
    route('post', '/deployments/paginate', async (call) => {
      const wanted = await call.read(paginate);
      const found = findDeployments(state, wanted, wanted.sort);
      return paged(state, wanted, found, (items) => items.map((item) => deploymentView(state, item)));
    }),
    route(
      'post',
      '/deployments/count',
      async (call) => findDeployments(state, await call.read(relatedOnly)).length,
    ),
    route('post', '/deployments/get_scheduled_flow_runs', async (call) => {
      const wanted = await call.read(scheduled);
      const most = limitOf(state, wanted.limit);
      const runs = [...state.flowRuns.values()]
        .filter((run) => wanted.deployment_ids.includes(run.deploymentId ?? ''))
        .filter((run) => run.state?.type === 'SCHEDULED' && state.deployments.has(run.deploymentId ?? ''))
        .filter((run) => (run.nextScheduledStart ?? 0) <= (wanted.scheduled_before ?? Infinity))
        .sort((a, b) => (a.nextScheduledStart ?? 0) - (b.nextScheduledStart ?? 0));
      markReady([...state.deployments.values()].filter((item) => wanted.deployment_ids.includes(item.id)));
      return viewAll(state, runs.slice(0, most));
    }),
    route('get', '/deployments/name/:flow/:deployment', ({ params: { flow, deployment } }) => {
      const owner = find(state.flows, (item) => item.name === flow);
      const found = find(state.deployments, (item) => item.name === deployment && item.flowId === owner?.id);
      return deploymentView(state, read(found?.id));
    }),
    route('get', '/deployments/:id', ({ params: { id } }) => deploymentView(state, read(id))),
    route('patch', '/deployments/:id', async (call) => {
      const wanted = await call.read(update);
      patch(state, read(call.params['id'], 'Deployment not found.'), wanted, await call.raw());
      return noContent();
    }),
    route('delete', '/deployments/:id', ({ params: { id } }) => {
      const deployment = read(id);
      dropScheduledRuns(state, deployment);
      state.deployments.delete(deployment.id);
      return noContent();
    }),
    route('get', '/deployments/:id/schedules', ({ params: { id } }) => {
      const deployment = read(id, 'Deployment not found.');
      return deployment.schedules.map((item) => scheduleView(deployment, item));
    }),
    route('patch', '/deployments/:id/schedules/:scheduleId', async (call) => {
      const wanted = await call.read(scheduleUpdate);
      const deployment = read(call.params['id'], 'Deployment not found.');
      const schedule = deployment.schedules.find((item) => item.id === call.params['scheduleId']);
      if (schedule === undefined) throw notFound('Schedule not found.');
      updateSchedule(schedule, wanted);
      return noContent();
    }),
    route('post', '/deployments/:id/pause_deployment', ({ params: { id } }) => pause(id, true)),
    route('post', '/deployments/:id/resume_deployment', ({ params: { id } }) => pause(id, false)),
    route('post', '/deployments/:id/create_flow_run', (call) => createRun(state, call, read)),
  ];
}

type Create = ReturnType<typeof create.parse>;

function upsert(state: State, wanted: Create): Reply {
  const { work_pool_name: pool, work_queue_name: queueName, flow_id: flowId } = wanted;
  if (pool !== null && pool !== AGENT_POOL) poolByName(state, pool);
  const queue = queueFor(state, pool, queueName);
  if (/[/%&><]/.test(wanted.name) || wanted.name === '') throw serverError();
  if (!state.flows.has(flowId)) throw integrity();
  const existing = find(state.deployments, (item) => item.flowId === flowId && item.name === wanted.name);
  // An upsert keeps what it does not name.
  const old: Partial<Deployment> = existing ?? {};
  const fresh = row();
  const deployment: Deployment = {
    id: old.id ?? fresh.id,
    created: old.created ?? fresh.created,
    updated: now(),
    name: wanted.name,
    flowId,
    version: wanted.version ?? old.version ?? null,
    description: wanted.description ?? old.description ?? null,
    paused: wanted.paused,
    schedules: newSchedules(wanted.schedules),
    jobVariables: wanted.job_variables ?? old.jobVariables ?? {},
    parameters: wanted.parameters ?? {},
    tags: [...new Set(wanted.tags ?? old.tags ?? [])],
    labels: { ...state.flows.get(flowId)?.labels, 'prefect.flow.id': flowId, ...wanted.labels },
    queueId: queue?.id ?? old.queueId ?? null,
    queueName: queue?.name ?? queueName ?? old.queueName ?? null,
    lastPolled: old.lastPolled ?? null,
    schema: wanted.parameter_openapi_schema ?? old.schema ?? {},
    path: wanted.path ?? old.path ?? null,
    pullSteps: wanted.pull_steps ?? old.pullSteps ?? [],
    entrypoint: wanted.entrypoint ?? old.entrypoint ?? null,
    status: old.status ?? 'NOT_READY',
    enforceSchema: wanted.enforce_parameter_schema,
  };
  state.deployments.set(deployment.id, deployment);
  const view = deploymentView(state, deployment);
  return existing === undefined ? created(view) : new Reply(200, view);
}

function queueFor(state: State, pool: string | null, queue: string | null): WorkQueue | null {
  if (pool !== null) return queue === null ? defaultQueue(state, pool) : ensureQueue(state, pool, queue);
  return queue === null ? null : agentQueue(state, queue);
}

type Update = ReturnType<typeof update.parse>;

function patch(state: State, deployment: Deployment, wanted: Update, raw: unknown): void {
  const given = isObj(raw) ? raw : {};
  const { work_pool_name: pool, work_queue_name: queueName } = wanted;
  // An unknown pool is no 404 here: the server falls over it.
  if (pool !== null && find(state.pools, (item) => item.name === pool) === undefined) throw serverError();
  const schema = wanted.parameter_openapi_schema ?? deployment.schema ?? {};
  const parameters = wanted.parameters ?? deployment.parameters;
  const enforced = wanted.enforce_parameter_schema ?? deployment.enforceSchema;
  const trouble = enforced ? schemaTrouble(parameters, schema, true) : undefined;
  if (trouble !== undefined) throw conflict(`Error updating deployment: ${trouble}`);
  const queue = queueFor(state, pool, queueName);
  if (queue !== null) Object.assign(deployment, { queueId: queue.id, queueName: queue.name });
  if (wanted.schedules !== null) deployment.schedules = newSchedules(wanted.schedules);
  deployment.parameters = parameters;
  deployment.schema = schema;
  deployment.enforceSchema = enforced;
  deployment.paused = wanted.paused ?? deployment.paused;
  deployment.tags = wanted.tags ?? deployment.tags;
  deployment.jobVariables = wanted.job_variables ?? deployment.jobVariables;
  for (const key of ['entrypoint', 'path', 'version', 'description'] as const) {
    if (key in given) deployment[key] = wanted[key];
  }
  if ('pull_steps' in given) deployment.pullSteps = wanted.pull_steps;
  deployment.updated = nowMillis();
}

function dropScheduledRuns(state: State, deployment: Deployment): void {
  const idle = [...state.flowRuns.values()]
    .filter((run) => run.deploymentId === deployment.id && run.runCount === 0)
    .filter((run) => run.state?.type === 'SCHEDULED' && run.state.name !== 'AwaitingConcurrencySlot')
    .sort((a, b) => compare(a.id, b.id));
  for (const run of idle) deleteFlowRun(state, run);
}
