import { compare } from './flows.js';
import { Refusal, type Route, invalid, objectNotFound, route, serverError } from './http.js';
import { type Obj, float } from './json.js';
import { estimatedRunTime, stateView } from './run-states.js';
import { type FlowRun, type State, type StateType, type TaskRun, find } from './state.js';
import { upstream } from './task-run-model.js';
import { type Micros, formatOptional, formatTime, parseTime } from './time.js';

export function graphRoutes(state: State): Route[] {
  return [
    route('get', '/flow_runs/:id/graph', ({ params: { id = '' } }) => {
      if (!state.flowRuns.has(id)) throw objectNotFound(`Flow run with id ${id} not found`);
      return tasksOf(state, id)
        .sort((a, b) => compare(b.id, a.id))
        .map(dependency);
    }),
    route('get', '/flow_runs/:id/graph-v2', ({ params: { id = '' }, query }) => {
      const since = sinceOf(query.get('since'));
      const run = state.flowRuns.get(id);
      if (run === undefined) throw objectNotFound(`Flow run ${id} not found`);
      return graph(state, run, since);
    }),
  ];
}

function sinceOf(input: string | null): Micros {
  if (input === null) return 0;
  const time = parseTime(input);
  if (time !== undefined) return time;
  const error = input.length < 10 ? 'input is too short' : 'invalid character in year';
  const msg = `Input should be a valid datetime or date, ${error}`;
  throw invalid(
    [{ type: 'datetime_from_date_parsing', loc: ['query', 'since'], msg, input, ctx: { error } }],
    null,
  );
}

function tasksOf(state: State, id: string): TaskRun[] {
  return [...state.taskRuns.values()].filter((task) => task.flowRunId === id);
}

function dependency(task: TaskRun): Obj {
  const inputs = upstream(task).map(({ input }) => input);
  // The reply model knows task runs only: a constant or a parameter among the inputs breaks it.
  if (inputs.some((input) => input['input_type'] !== 'task_run')) throw serverError();
  const ids = [...new Set(inputs.map((input) => String(input['id'])))];
  return {
    id: task.id,
    name: task.name,
    upstream_dependencies: ids.map((id) => ({ input_type: 'task_run', id })),
    state: stateView(task.state),
    expected_start_time: formatOptional(task.expectedStart),
    start_time: formatOptional(task.start),
    end_time: formatOptional(task.end),
    total_run_time: float(task.totalRunTime / 1_000_000),
    estimated_run_time: float(estimatedRunTime(task) / 1_000_000),
    untrackable_result: task.state?.details['untrackable_result'] ?? false,
  };
}

/** One row for each argument of a task, as the server's query joins them. */
interface Edge {
  kind: 'flow-run' | 'task-run';
  id: string;
  label: string;
  type: StateType | null;
  start: Micros | null;
  end: Micros | null;
  parent: string | null;
  encapsulated: boolean;
}

function graph(state: State, run: FlowRun, since: Micros): Obj {
  const edges = tasksOf(state, run.id)
    .flatMap((task) => edgesOf(state, task))
    .sort((a, b) => compare(a.id, b.id));
  const nodes = [...new Map(edges.map((edge) => [edge.id, edge])).values()]
    .filter((node) => node.end === null || node.end >= since)
    .sort((a, b) => (a.start ?? -1) - (b.start ?? -1) || (a.end ?? -1) - (b.end ?? -1));
  if (nodes.length > state.graphNodes) {
    throw new Refusal(400, {
      detail: `The graph of flow run ${run.id} has more than ${state.graphNodes} nodes.`,
    });
  }
  const shown = nodes.map((node): [string, Obj] => [node.id, nodeView(node, edges)]);
  return {
    start_time: formatOptional(run.start ?? run.expectedStart),
    end_time: formatOptional(run.end),
    root_node_ids: shown.filter(([, node]) => (node['parents'] as unknown[]).length === 0).map(([id]) => id),
    nodes: shown,
    artifacts: [],
    states: run.history.map(({ id, timestamp, type, name }) => ({
      id,
      timestamp: formatTime(timestamp),
      type,
      name,
    })),
  };
}

function edgesOf(state: State, task: TaskRun): Edge[] {
  // Left out by the older server.
  if (state.old && task.state?.type === 'PENDING') return [];
  const child = find(state.flowRuns, (run) => run.parentTaskRunId === task.id);
  const node = child === undefined ? taskNode(task) : flowNode(state, child);
  if (node.start === null) return [];
  const inputs = upstream(task);
  if (inputs.length === 0) return [{ ...node, parent: null, encapsulated: false }];
  return inputs.map(({ key, input }) => ({
    ...node,
    parent: typeof input['id'] === 'string' ? input['id'] : null,
    encapsulated: key === '__parents__',
  }));
}

type Node = Omit<Edge, 'parent' | 'encapsulated'>;

function taskNode(task: TaskRun): Node {
  const end = task.end ?? (task.state?.type === 'COMPLETED' ? task.expectedStart : null);
  const start = task.start ?? task.expectedStart;
  return { kind: 'task-run', id: task.id, label: task.name, type: task.state?.type ?? null, start, end };
}

function flowNode(state: State, run: FlowRun): Node {
  const label = `${state.flows.get(run.flowId)?.name ?? ''} / ${run.name}`;
  const start = run.start ?? run.expectedStart;
  return { kind: 'flow-run', id: run.id, label, type: run.state?.type ?? null, start, end: run.end };
}

/** A parent with several arguments of its own is named once for each of them. */
function nodeView(node: Edge, edges: Edge[]): Obj {
  const parents = (encapsulated: boolean) =>
    edges
      .filter((edge) => edge.id === node.id && edge.encapsulated === encapsulated)
      .flatMap((edge) => edges.filter((other) => other.id === edge.parent).map(({ id }) => id));
  const children = edges
    .filter((edge) => edge.id === node.id)
    .flatMap(() =>
      edges.filter((other) => other.parent === node.id && !other.encapsulated).map(({ id }) => id),
    );
  const link = (id: string) => ({ id });
  return {
    kind: node.kind,
    id: node.id,
    label: node.label,
    state_type: node.type,
    start_time: formatOptional(node.start),
    end_time: formatOptional(node.end),
    parents: parents(false).map(link),
    children: children.map(link),
    encapsulating: [...new Set(parents(true))].map(link),
    artifacts: [],
  };
}
