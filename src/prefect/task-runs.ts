import { z } from 'zod';
import type { PrefectSession } from './client.js';
import { readPages, type PageSize, type Rows } from './pages.js';
import { UpstreamError } from './errors.js';
import { anyNumber, plain, rowCount } from './parse.js';
import { path } from './path.js';

const state = z.object({
  type: z.string(),
  name: z.string(),
  state_details: z.object({ child_flow_run_id: z.string().nullish() }).nullish(),
});

const taskState = z.object({
  id: z.string(),
  state: state.nullish(),
  total_run_time: anyNumber.nullish(),
  estimated_run_time: anyNumber.nullish(),
});
const taskStates = plain(z.array(taskState));
/** A task run with its state; one that stands for a subflow carries the subflow's state and its id. */
export type TaskState = z.infer<typeof taskState>;

const time = z.string().nullable();
const taskNode = taskState.extend({
  name: z.string(),
  task_inputs: z.record(z.string(), z.array(z.object({ id: z.string().nullish() }))),
  start_time: time,
  expected_start_time: time,
  end_time: time,
});
const taskNodes = plain(z.array(taskNode));
/** A task run as a node of a graph. */
export type TaskNode = z.infer<typeof taskNode>;

const taskRun = z.object({
  id: z.string(),
  flow_run_id: z.string().nullable(),
  state_name: z.string().nullish(),
  state: z
    .object({ state_details: z.object({ child_flow_run_id: z.string().nullish() }).nullish() })
    .nullish(),
});
const taskRuns = plain(z.array(taskRun));
export type TaskRun = z.infer<typeof taskRun>;

/**
 * `POST /task_runs/filter`: of these flow runs, the task runs that stand for a subflow and those in a state of that
 * name - both in one query, because together they tell what a list of runs has to know about its children.
 */
export function subflowsAndStates(
  api: PrefectSession,
  size: PageSize,
  flowRunIds: string[],
  stateName: string | undefined,
  ceiling: number,
): Promise<Rows<TaskRun>> {
  const either = stateName
    ? { operator: 'or_', subflow_runs: { exists_: true }, state: { name: { any_: [stateName] } } }
    : { subflow_runs: { exists_: true } };
  const query = { flow_runs: { id: { any_: flowRunIds } }, task_runs: either };
  return pages(api, size, query, taskRuns, ceiling);
}

/**
 * The states of all task runs of a flow run: `GET /flow_runs/{id}/graph` has them in one call, however many. It
 * answers 500 where an input of a task is a constant, a parameter or a subflow's result (3.6.29 and 3.8.8): then
 * `POST /task_runs/filter`, page by page.
 */
export async function statesOf(
  api: PrefectSession,
  size: PageSize,
  flowRunId: string,
  ceiling: number,
): Promise<Rows<TaskState>> {
  try {
    return { rows: await api.get(path`/flow_runs/${flowRunId}/graph`, { retry: 'read', parse: taskStates }) };
  } catch (error) {
    if (!(error instanceof UpstreamError && error.answered(500))) throw error;
  }
  return pages(api, size, { task_runs: { flow_run_id: { any_: [flowRunId] } } }, taskStates, ceiling);
}

/** `POST /task_runs/filter`, all pages: the task runs of a flow run with their inputs. */
export function nodesOf(
  api: PrefectSession,
  size: PageSize,
  flowRunId: string,
  ceiling: number,
): Promise<Rows<TaskNode>> {
  return pages(api, size, { task_runs: { flow_run_id: { any_: [flowRunId] } } }, taskNodes, ceiling);
}

const taskRunIds = plain(z.array(z.object({ id: z.string() })));

/** `POST /task_runs/filter`: which of these task runs belong to one of these flow runs. */
export async function idsWithin(
  api: PrefectSession,
  size: PageSize,
  ids: string[],
  flowRunIds: string[],
): Promise<string[]> {
  const query = { task_runs: { id: { any_: ids } }, flow_runs: { id: { any_: flowRunIds } } };
  const found = await pages(api, size, query, taskRunIds, ids.length);
  return found.rows.map(({ id }) => id);
}

function pages<T extends { id: string }>(
  api: PrefectSession,
  size: PageSize,
  query: Record<string, unknown>,
  parse: (text: string) => T[],
  ceiling: number,
): Promise<Rows<T>> {
  const fetchPage = (limit: number, offset: number) =>
    api.post(path`/task_runs/filter`, {
      body: { ...query, sort: 'ID_DESC', limit, offset },
      retry: 'read',
      parse,
    });
  const count = () => api.post(path`/task_runs/count`, { body: query, retry: 'read', parse: rowCount });
  return readPages(size, fetchPage, { ceiling, count });
}
