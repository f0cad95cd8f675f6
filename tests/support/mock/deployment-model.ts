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
import { type Obj, float } from './json.js';
import { scheduleView } from './schedules.js';
import { type Deployment, type FlowRun, type State } from './state.js';
import { formatOptional, formatTime, now } from './time.js';

export function deploymentView(state: State, deployment: Deployment): Obj {
  const queue = state.queues.get(deployment.queueId ?? '');
  const pool = queue && state.pools.get(queue.poolId);
  const item = deployment;
  return {
    id: item.id,
    created: formatTime(item.created),
    updated: formatTime(item.updated),
    name: item.name,
    version: item.version,
    description: item.description,
    flow_id: item.flowId,
    paused: item.paused,
    schedules: item.schedules.map((schedule) => scheduleView(item, schedule)),
    concurrency_limit: null,
    global_concurrency_limit: limitView(state, item),
    concurrency_options: null,
    job_variables: item.jobVariables,
    parameters: item.parameters,
    tags: item.tags,
    labels: item.labels,
    work_queue_name: queue?.name ?? item.queueName,
    work_queue_id: queue?.id ?? null,
    last_polled: formatOptional(item.lastPolled),
    parameter_openapi_schema: item.schema,
    path: item.path,
    pull_steps: item.pullSteps,
    entrypoint: item.entrypoint,
    storage_document_id: null,
    infrastructure_document_id: null,
    created_by: null,
    updated_by: null,
    work_pool_name: pool?.name ?? null,
    status: item.status,
    enforce_parameter_schema: item.enforceSchema,
  };
}

/** As the servers write it; a run holds a slot from PENDING to its end. */
function limitView(state: State, { id, limit, created, updated }: Deployment): Obj | null {
  if (limit === null) return null;
  const holds = ({ deploymentId, state: now }: FlowRun) =>
    deploymentId === id && ['PENDING', 'RUNNING', 'CANCELLING'].includes(now?.type ?? '');
  return {
    id,
    created: formatTime(created),
    updated: formatTime(updated),
    active: true,
    name: `deployment:${id}`,
    limit,
    active_slots: [...state.flowRuns.values()].filter(holds).length,
    slot_decay_per_second: float(0),
  };
}

export const DEPLOYMENT_SORTS = ['CREATED_DESC', 'UPDATED_DESC', 'NAME_ASC', 'NAME_DESC'] as const;
export type DeploymentSort = (typeof DEPLOYMENT_SORTS)[number];
const ORDER: Record<DeploymentSort, (a: Deployment, b: Deployment) => number> = {
  CREATED_DESC: (a, b) => b.created - a.created,
  UPDATED_DESC: (a, b) => b.updated - a.updated,
  NAME_ASC: (a, b) => compare(a.name, b.name),
  NAME_DESC: (a, b) => compare(b.name, a.name),
};

export function findDeployments(
  state: State,
  wanted: Related,
  sort: DeploymentSort = 'NAME_ASC',
): Deployment[] {
  return [...state.deployments.values()].filter((item) => matches(state, wanted, item)).sort(ORDER[sort]);
}

function matches(state: State, wanted: Related, deployment: Deployment): boolean {
  const queue = state.queues.get(deployment.queueId ?? '');
  if (
    !matchDeployment(state, wanted.deployments, deployment) ||
    !matchFlow(wanted.flows, state.flows.get(deployment.flowId)) ||
    !matchQueue(wanted.work_pool_queues, queue) ||
    !matchPool(wanted.work_pools, queue && state.pools.get(queue.poolId))
  ) {
    return false;
  }
  if (wanted.flow_runs === null && wanted.task_runs === null) return true;
  const runs = [...state.flowRuns.values()].filter((run) => run.deploymentId === deployment.id);
  const tasks = [...state.taskRuns.values()];
  return runs.some(
    (run) =>
      matchFlowRun(state, wanted.flow_runs, run) &&
      (wanted.task_runs === null ||
        tasks.some((task) => task.flowRunId === run.id && matchTaskRun(state, wanted.task_runs, task))),
  );
}

/** Whoever asks for a deployment's runs shows that somebody would run them. */
export function markReady(deployments: Iterable<Deployment>): void {
  for (const deployment of deployments) {
    deployment.lastPolled = now();
    deployment.status = 'READY';
  }
}
