import { z } from 'zod';
import type { PrefectSession } from './client.js';
import { readPages, type PageSize, type Rows } from './pages.js';
import { plain } from './parse.js';
import { path } from './path.js';

const taskRun = z.object({
  id: z.string(),
  flow_run_id: z.string().nullable(),
  state_name: z.string().nullish(),
  state: z
    .object({ state_details: z.object({ child_flow_run_id: z.string().nullish() }).nullish() })
    .nullish(),
});
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
  const fetchPage = (limit: number, offset: number) =>
    api.post(path`/task_runs/filter`, {
      body: { flow_runs: { id: { any_: flowRunIds } }, task_runs: either, sort: 'ID_DESC', limit, offset },
      retry: 'read',
      parse: plain(z.array(taskRun)),
    });
  return readPages(size, fetchPage, { ceiling });
}
