import type { FlowRun, Graph, GraphNode } from '../../prefect/flow-runs.js';
import type { TaskNode } from '../../prefect/task-runs.js';

/**
 * The graph of a run that has more nodes than Prefect puts into one (`graph-v2`), made from its task runs and subflows in
 * the same way: a subflow takes the place of the task run that stands for it, what has not been planned is left out, and
 * nodes and children are in the order of their start.
 */
export function graphFrom(tasks: readonly TaskNode[], subflows: readonly FlowRun[]): Graph {
  const subflowOf = new Map(subflows.map((run) => [run.parent_task_run_id ?? '', run]));
  const found = tasks
    .flatMap((task) => nodeFrom(task, subflowOf.get(task.id)) ?? [])
    .sort(
      (a, b) => compare(a.node.start_time, b.node.start_time) || compare(a.node.end_time, b.node.end_time),
    );
  const nodes = new Map(found.map(({ node }) => [node.id, node]));
  const roots: string[] = [];
  for (const { node, parents } of found) {
    const known = parents.flatMap((id) => nodes.get(id) ?? []);
    for (const parent of known) parent.children.push({ id: node.id });
    if (known.length === 0) roots.push(node.id);
  }
  return { root_node_ids: roots, nodes: [...nodes] };
}

function nodeFrom(
  task: TaskNode,
  run: FlowRun | undefined,
): { node: GraphNode; parents: string[] } | undefined {
  const planned = run?.start_time ?? run?.expected_start_time ?? task.start_time ?? task.expected_start_time;
  if (planned === null) return undefined;
  const isCompleted = task.state?.type === 'COMPLETED';
  const node: GraphNode = {
    ...(run
      ? { kind: 'flow-run', id: run.id, label: run.name }
      : { kind: 'task-run', id: task.id, label: task.name }),
    start_time: planned,
    end_time: run?.end_time ?? task.end_time ?? (isCompleted ? task.expected_start_time : null),
    children: [],
  };
  return { node, parents: parentsOf(task) };
}

/** The task runs whose results are arguments of this one; the task that called it (`__parents__`) is none of them. */
function parentsOf({ task_inputs: inputs }: TaskNode): string[] {
  const given = Object.entries(inputs).flatMap(([name, list]) => (name === '__parents__' ? [] : list));
  return [...new Set(given.flatMap(({ id }) => id ?? []))];
}

/** Prefect leaves the fraction of a whole second out. What has no time comes last. */
function compare(a: string | null, b: string | null): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  const [first, second] = [a, b].map((time) => time.replace(/Z$|\+00:00$/, ''));
  return first === second ? 0 : (first ?? '') < (second ?? '') ? -1 : 1;
}
