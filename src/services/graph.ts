import type { PrefectSession } from '../prefect/client.js';
import * as flowRuns from '../prefect/flow-runs.js';
import type { FlowRun, Graph, GraphNode } from '../prefect/flow-runs.js';
import * as logs from '../prefect/logs.js';
import type { Rows } from '../prefect/pages.js';
import * as taskRuns from '../prefect/task-runs.js';
import type { TaskState } from '../prefect/task-runs.js';
import { cutOf, type Cut, type ListLimits } from './rows.js';
import { graphFrom } from './runs/large-graph.js';

/** A node as hosts read it: its place in the run, and its state. */
interface Node {
  id: string;
  kind: GraphNode['kind'];
  label: string;
  state_type: string | null;
  state_name: string | null;
  start_time: string | null;
  end_time: string | null;
}

interface Level extends Cut {
  nodes: GraphNode[];
  tasks: Map<string, TaskState>;
}

/**
 * The graph of a run: task runs and subflows of its first level, each once, in the order of the first visit.
 * Three calls, however many task runs; more than a page of subflows costs a call a page, and more nodes than Prefect
 * puts into a graph cost a call for each page of task runs.
 */
export async function readGraph(api: PrefectSession, limits: ListLimits, flowRunId: string) {
  const listed = listSubflows(api, limits, flowRunId);
  const [level, subflows] = await Promise.all([readLevel(api, limits, flowRunId, () => listed), listed]);
  const runs = new Map(subflows.rows.map((run) => [run.id, run]));
  return {
    ...cutOf(level, subflows),
    rows: level.nodes.map((node) => graphRow(node, level.tasks.get(node.id), runs.get(node.id))),
  };
}

function graphRow(node: GraphNode, task: TaskState | undefined, run: FlowRun | undefined) {
  const timed = run ?? task;
  const payload = run?.parameters['payload'];
  return {
    ...nodeRow(node, task, run),
    total_run_time: timed?.total_run_time ?? 0,
    estimated_run_time: timed?.estimated_run_time ?? 0,
    ...(payload === undefined ? {} : { parameters: payload }),
  };
}

/**
 * The logs of a run by node of its graph, each node's oldest first: a task run's own, a subflow's with those of its
 * task runs. Three calls and one for each further page of logs.
 */
export async function readNodeLogs(api: PrefectSession, limits: ListLimits, flowRunId: string) {
  const level = await readLevel(api, limits, flowRunId, () => listSubflows(api, limits, flowRunId));
  const { nodes, tasks } = level;
  const ofKind = (kind: GraphNode['kind']) =>
    nodes.filter((node) => node.kind === kind).map((node) => node.id);
  const filter = {
    operator: 'or_',
    flow_run_id: { any_: ofKind('flow-run') },
    task_run_id: { any_: ofKind('task-run') },
  };
  const found: Cut & { rows: logs.Log[] } =
    nodes.length === 0 ? { rows: [] } : await logs.list(api, limits.size, filter, limits);
  const byNode = new Map<string, ReturnType<typeof logRow>[]>(nodes.map((node) => [node.id, []]));
  for (const log of found.rows) {
    // A log of a subflow's task run has both ids, of which only the subflow is a node here.
    const own = byNode.get(log.task_run_id ?? '') ?? byNode.get(log.flow_run_id ?? '');
    own?.push(logRow(log));
  }
  return {
    ...cutOf(level, found),
    rows: nodes.map((node) => ({ ...nodeRow(node, tasks.get(node.id)), logs: byNode.get(node.id) ?? [] })),
  };
}

/** Level, timestamp and message of a log. */
export function logRow({ level, timestamp, message }: logs.Log) {
  return { level, timestamp, message };
}

function nodeRow(node: GraphNode, task: TaskState | undefined, run?: FlowRun): Node {
  return {
    id: node.id,
    kind: node.kind,
    label: node.kind === 'flow-run' ? node.label.replace(/^.*? \/ /s, '') : node.label,
    state_type: run?.state_type ?? task?.state?.type ?? null,
    state_name: run?.state_name ?? task?.state?.name ?? null,
    start_time: node.start_time,
    end_time: node.end_time,
  };
}

async function readLevel(
  api: PrefectSession,
  { size, ceiling }: ListLimits,
  flowRunId: string,
  subflows: () => Promise<Rows<FlowRun>>,
): Promise<Level> {
  const [graph, states] = await Promise.all([
    flowRuns.graph(api, flowRunId),
    taskRuns.statesOf(api, size, flowRunId, ceiling),
  ]);
  if (graph) return levelOf(graph, states);
  const [tasks, runs] = await Promise.all([taskRuns.nodesOf(api, size, flowRunId, ceiling), subflows()]);
  return { ...levelOf(graphFrom(tasks.rows, runs.rows), tasks), ...cutOf(tasks, runs) };
}

function levelOf(graph: Graph, states: Rows<TaskState>): Level {
  // A subflow is listed by its parent task run, and is found here by its own id.
  const tasks = new Map(
    states.rows.map((task) => [task.state?.state_details?.child_flow_run_id ?? task.id, task]),
  );
  return { nodes: inOrder(graph.root_node_ids, new Map(graph.nodes)), tasks, ...cutOf(states) };
}

function listSubflows(api: PrefectSession, limits: ListLimits, flowRunId: string): Promise<Rows<FlowRun>> {
  const query = { flow_runs: { parent_flow_run_id: { any_: [flowRunId] } } };
  return flowRuns.list(api, limits.size, query, limits);
}

function inOrder(roots: string[], nodes: Map<string, GraphNode>): GraphNode[] {
  const order = new Set(roots);
  // A Set that grows while it is read is read to its end: breadth first, each node once.
  for (const id of order) nodes.get(id)?.children.forEach((child) => order.add(child.id));
  return [...order].flatMap((id) => nodes.get(id) ?? []);
}
