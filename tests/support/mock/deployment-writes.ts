import { deleteFlowRun } from './deletes.js';
import { deploymentView } from './deployment-model.js';
import { compare } from './flows.js';
import { Reply, conflict, created, integrity, serverError } from './http.js';
import { isObj } from './json.js';
import { conformTrouble, schemaTrouble, sized } from './parameters.js';
import { AGENT_POOL, agentQueue, defaultQueue, ensureQueue, poolByName } from './queues.js';
import { scheduleUpdate, schedulesCreate } from './schedule-fields.js';
import { changedSchedules, newSchedules } from './schedules.js';
import { type Deployment, type State, type WorkQueue, find, row } from './state.js';
import { now, nowMillis } from './time.js';
import {
  absent,
  anything,
  bool,
  defaulted,
  dict,
  field,
  list,
  model,
  optional,
  text,
  uuid,
  whole,
} from './validate.js';

const common = {
  version: optional(text),
  description: optional(text),
  concurrency_limit: optional(whole({ gt: 0 })),
  concurrency_options: optional(anything),
  global_concurrency_limit_id: optional(uuid),
  parameter_openapi_schema: optional(dict),
  tags: absent(list(text)),
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
  paused: absent(bool),
  schedules: defaulted(schedulesCreate, () => []),
  enforce_parameter_schema: absent(bool),
  parameters: absent(sized),
  labels: optional(dict),
  ...common,
});
/**
 * Parameters left out are put into the body before it is looked at: the echo of a refusal shows them. Only who asks
 * for enforcement in the same body gets it here.
 */
export const create = field((input, loc, problems) => {
  if (isObj(input)) {
    if (!('parameters' in input)) input['parameters'] = {};
    const trouble = input['enforce_parameter_schema'] === true ? conformTrouble(input) : undefined;
    if (trouble !== undefined) {
      problems.push({ type: 'value_error', loc, msg: `Value error, ${trouble}`, input, ctx: { error: {} } });
      return createFields.parse({ ...input, parameters: {} }, loc, []);
    }
  }
  return createFields.parse(input, loc, problems);
});
export const update = model({
  paused: absent(bool),
  schedules: absent(list(scheduleUpdate)),
  parameters: optional(sized),
  enforce_parameter_schema: optional(bool),
  ...common,
});
type Create = ReturnType<typeof create.parse>;

export function upsert(state: State, wanted: Create): Reply {
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
    paused: wanted.paused ?? old.paused ?? false,
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
    enforceSchema: wanted.enforce_parameter_schema ?? old.enforceSchema ?? true,
    limit: wanted.concurrency_limit ?? old.limit ?? null,
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

export function patch(state: State, deployment: Deployment, wanted: Update, raw: unknown): void {
  const given = isObj(raw) ? raw : {};
  const { work_pool_name: pool, work_queue_name: queueName } = wanted;
  // An unknown pool is no 404 here: the server falls over it.
  const schedules = changedSchedules(deployment, wanted.schedules);
  if (pool !== null && find(state.pools, (item) => item.name === pool) === undefined) throw serverError();
  const schema = wanted.parameter_openapi_schema ?? deployment.schema ?? {};
  const parameters = wanted.parameters ?? deployment.parameters;
  const enforced = wanted.enforce_parameter_schema ?? deployment.enforceSchema;
  const trouble = enforced ? schemaTrouble(parameters, schema, true) : undefined;
  if (trouble !== undefined) throw conflict(`Error updating deployment: ${trouble}`);
  if (given['parameters'] === null) throw integrity();
  const queue = queueFor(state, pool, queueName);
  if (queue !== null) Object.assign(deployment, { queueId: queue.id, queueName: queue.name });
  deployment.schedules = schedules;
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
  if ('concurrency_limit' in given) deployment.limit = wanted.concurrency_limit;
  deployment.updated = nowMillis();
}

export function dropScheduledRuns(state: State, deployment: Deployment): void {
  const idle = [...state.flowRuns.values()]
    .filter((run) => run.deploymentId === deployment.id && run.runCount === 0)
    .filter((run) => run.state?.type === 'SCHEDULED' && run.state.name !== 'AwaitingConcurrencySlot')
    .sort((a, b) => compare(a.id, b.id));
  for (const run of idle) deleteFlowRun(state, run);
}
