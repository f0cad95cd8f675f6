import type { PrefectRest } from './rest.js';

interface Run {
  id: string;
  name: string;
  tags: string[];
  start_time: string | null;
  expected_start_time: string | null;
  total_run_time: number;
  state: { type: string; name: string };
}

interface Dependency {
  state?: { state_details?: { child_flow_run_id?: string | null } | null } | null;
}

interface Node {
  id: string;
  kind: 'flow-run' | 'task-run';
  label: string;
  start_time: string | null;
  end_time: string | null;
  children: { id: string }[];
}

interface Log {
  level: number;
  timestamp: string;
  message: string;
}

/** The list of finished runs as the existing proxy reads it: for each run its graph, level by level, and its task runs. */
export async function listRuns(api: PrefectRest, deploymentId: string, limit: number) {
  const found = await api.post<Run[]>('/flow_runs/filter', {
    sort: 'START_TIME_DESC',
    deployments: { id: { any_: [deploymentId] } },
    flow_runs: { state: { type: { any_: ['COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED'] } } },
    limit,
  });
  const rows = [];
  for (const run of found) {
    const family = await familyOf(api, run.id);
    const filter = { flow_runs: { id: { any_: family } } };
    const tasks = await api.post<{ state: { name: string } | null }[]>('/task_runs/filter', filter);
    const isFailedTest = tasks.some(({ state }) => state?.name === 'DBT_TEST_FAILED');
    rows.push({
      id: run.id,
      name: run.name,
      tags: run.tags,
      startTime: run.start_time,
      expectedStartTime: run.expected_start_time,
      totalRunTime: run.total_run_time,
      status: run.state.type,
      state_name: isFailedTest ? 'DBT_TEST_FAILED' : run.state.name,
    });
  }
  return { flow_runs: rows };
}

async function familyOf(api: PrefectRest, id: string): Promise<string[]> {
  const ids = [id];
  for (const { state } of await api.get<Dependency[]>(`/flow_runs/${id}/graph`)) {
    const child = state?.state_details?.child_flow_run_id;
    if (child) ids.push(...(await familyOf(api, child)));
  }
  return ids;
}

/** The logs of a run by node as the existing proxy reads them: for each node its run, and its logs. */
export async function nodeLogs(api: PrefectRest, flowRunId: string) {
  interface Graph {
    root_node_ids: string[];
    nodes: [string, Node][];
  }
  const graph = await api.get<Graph>(`/flow_runs/${flowRunId}/graph-v2`);
  const nodes = new Map(graph.nodes);
  const order = new Set(graph.root_node_ids);
  for (const id of order) nodes.get(id)?.children.forEach((child) => order.add(child.id));
  const rows = [];
  for (const id of order) {
    const node = nodes.get(id);
    if (!node) continue;
    const noun = node.kind === 'flow-run' ? 'flow_run' : 'task_run';
    const run = await api.get<{ state_type: string; state_name: string }>(`/${noun}s/${id}`);
    const filter = { logs: { [`${noun}_id`]: { any_: [id] } }, sort: 'TIMESTAMP_ASC' };
    const logs = await api.post<Log[]>('/logs/filter', filter);
    rows.push({
      id,
      kind: node.kind,
      label: node.label,
      state_type: run.state_type,
      state_name: run.state_name,
      start_time: node.start_time,
      end_time: node.end_time,
      logs: logs.map(({ level, timestamp, message }) => ({ level, timestamp, message })),
    });
  }
  return rows;
}
