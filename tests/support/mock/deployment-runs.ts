import { newFlowRun, newPolicy, policy } from './flow-run-model.js';
import { insertFlowRun } from './flow-runs.js';
import { type Call, Refusal, type Reply, conflict } from './http.js';
import { schemaTrouble, sized } from './parameters.js';
import { ensureQueue } from './queues.js';
import { stateCreate } from './run-states.js';
import { slug } from './slug.js';
import { type Deployment, type State, type WorkQueue } from './state.js';
import { bool, defaulted, dict, labels, list, model, optional, text, uuid } from './validate.js';

const create = model({
  state: optional(stateCreate),
  name: defaulted(text, slug),
  parameters: defaulted(sized, () => ({})),
  enforce_parameter_schema: optional(bool),
  context: defaulted(dict, () => ({})),
  infrastructure_document_id: optional(uuid),
  empirical_policy: policy,
  tags: defaulted(list(text), () => []),
  idempotency_key: optional(text),
  labels: optional(labels),
  parent_task_run_id: optional(uuid),
  work_queue_name: optional(text),
  job_variables: optional(dict),
});
type Create = ReturnType<typeof create.parse>;

/** `POST /deployments/{id}/create_flow_run`. */
export async function createRun(
  state: State,
  call: Call,
  read: (id: string | undefined) => Deployment,
): Promise<Reply> {
  const wanted = await call.read(create);
  const deployment = read(call.params['id']);
  const parameters = { ...deployment.parameters, ...wanted.parameters };
  const enforced = wanted.enforce_parameter_schema ?? deployment.enforceSchema;
  const trouble = enforced ? schemaTrouble(parameters, deployment.schema ?? {}) : undefined;
  if (trouble !== undefined) throw conflict(`Error creating flow run: ${trouble}`);
  const queue = queueFor(state, deployment, wanted);
  const ownLabels = { 'prefect.flow.id': deployment.flowId, 'prefect.deployment.id': deployment.id };
  const run = newFlowRun({
    name: wanted.name,
    flowId: deployment.flowId,
    deploymentId: deployment.id,
    deploymentVersion: deployment.version,
    parameters,
    context: wanted.context,
    tags: [...new Set([...deployment.tags, ...wanted.tags])],
    labels: { ...state.flows.get(deployment.flowId)?.labels, ...ownLabels, ...wanted.labels },
    idempotencyKey: wanted.idempotency_key,
    policy: newPolicy(wanted.empirical_policy),
    parentTaskRunId: wanted.parent_task_run_id,
    queueId: queue?.id ?? deployment.queueId,
    queueName: queue?.name ?? deployment.queueName,
    jobVariables: wanted.job_variables ?? {},
  });
  return insertFlowRun(state, run, wanted.state, 'SCHEDULED');
}

function queueFor(state: State, deployment: Deployment, wanted: Create): WorkQueue | undefined {
  const name = wanted.work_queue_name;
  if (name === null) return undefined;
  const own = state.queues.get(deployment.queueId ?? '');
  const pool = own && state.pools.get(own.poolId);
  if (pool !== undefined) return ensureQueue(state, pool.name, name);
  const detail = `Cannot create flow run in work queue ${name} because deployment ${deployment.id} is not associated with a work pool. Please remove work_pool_name and try again.`;
  throw new Refusal(400, { detail });
}
