import { runParameters } from '../servers/flow-run.js';
import type { PrefectRest } from './rest.js';

export interface Seeds {
  /** Has the runs of the list. */
  deploymentId: string;
  /** The run with many nodes. */
  wideRunId: string;
}

export const RUNS = 50;
const NODES = 40;
const LOGS_PER_NODE = 5;
const TASKS = ['git-pull', 'dbt-clean', 'dbt-run', 'dbt-test'];
const PARALLEL = 4;
const completed = { type: 'COMPLETED', name: 'Completed' };

/**
 * Works with a deployment of 50 runs that are over, of 4 task runs each, and a run of 40 task runs with 5 logs each.
 * Removes them in the end: Prefect removes a flow's deployments, runs and task runs with it.
 */
export async function withSeeds<T>(api: PrefectRest, work: (seeds: Seeds) => Promise<T>): Promise<T> {
  const name = `bench-${Date.now()}`;
  const flow = await api.post<{ id: string }>('/flows/', { name });
  try {
    const deployment = { name, flow_id: flow.id, tags: ['acme'] };
    const { id: deploymentId } = await api.post<{ id: string }>('/deployments/', deployment);
    await eachOf(RUNS, async (index) => {
      const runId = await startRun(api, { flow_id: flow.id, deployment_id: deploymentId });
      await addTasks(api, runId, TASKS, index % 10 === 0);
      await finish(api, runId);
    });
    return await work({ deploymentId, wideRunId: await seedWideRun(api, flow.id) });
  } finally {
    await api.remove(`/flows/${flow.id}`);
  }
}

async function seedWideRun(api: PrefectRest, flowId: string): Promise<string> {
  const runId = await startRun(api, { flow_id: flowId });
  const names = Array.from({ length: NODES }, (_, index) => `task-${index}`);
  const taskIds = await addTasks(api, runId, names, false);
  const logs = taskIds.flatMap((id, index) => logsOf(runId, id, index));
  await api.post('/logs/', logs);
  await finish(api, runId);
  return runId;
}

async function startRun(api: PrefectRest, of: Record<string, string>): Promise<string> {
  const state = { type: 'RUNNING', name: 'Running' };
  const run = { ...of, state, tags: ['acme'], parameters: runParameters };
  return (await api.post<{ id: string }>('/flow_runs/', run)).id;
}

/** One after the other, each the parent of the next. */
async function addTasks(
  api: PrefectRest,
  flowRunId: string,
  names: string[],
  isLastFailed: boolean,
): Promise<string[]> {
  const ids: string[] = [];
  for (const name of names) {
    const isFailed = isLastFailed && name === names.at(-1);
    const parent = ids.at(-1);
    const { id } = await api.post<{ id: string }>('/task_runs/', {
      flow_run_id: flowRunId,
      name,
      task_key: name,
      dynamic_key: '0',
      state: isFailed ? { ...completed, name: 'DBT_TEST_FAILED' } : completed,
      task_inputs: parent ? { before: [{ input_type: 'task_run', id: parent }] } : {},
    });
    ids.push(id);
  }
  return ids;
}

async function finish(api: PrefectRest, id: string): Promise<void> {
  await api.post(`/flow_runs/${id}/set_state`, { state: completed, force: true });
}

function logsOf(flowRunId: string, taskRunId: string, index: number) {
  return Array.from({ length: LOGS_PER_NODE }, (_, line) => ({
    name: 'prefect.task_runs',
    level: 20,
    message: `12:00:00  ${line + 1} of ${LOGS_PER_NODE} OK created sql table model analytics.model_${index}`,
    timestamp: new Date(Date.UTC(2026, 0, 31) + index * 1000 + line).toISOString(),
    flow_run_id: flowRunId,
    task_run_id: taskRunId,
  }));
}

/** SQLite takes one writer at a time: more at once would only get 503s. */
async function eachOf(count: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
}
