import { z } from '@hono/zod-openapi';
import * as replies from '../schemas/replies.js';
import * as requests from '../schemas/requests.js';
import { readGraph, readNodeLogs } from '../services/graph.js';
import { listLogs } from '../services/runs.js';
import { EXAMPLE_ID, type RouteContext } from './context.js';

const tag = 'Graph and logs';
const byId = z.object({ path: requests.flowRunPath });
const time = '2026-01-31T03:00:00.123456Z';
const log = { level: 20, timestamp: time, message: 'hello' };
const node = {
  id: EXAMPLE_ID,
  kind: 'flow-run',
  label: 'shellop-hello',
  state_type: 'COMPLETED',
  state_name: 'Completed',
  start_time: time,
  end_time: time,
};
const FETCH_LOGS = 'failed to fetch logs for flow_run';

export function addRunDetailRoutes({ router, limits }: RouteContext): void {
  router.add(
    {
      method: 'get',
      path: '/proxy/flow_runs/graph/{flow_run_id}',
      operationId: 'getRunGraph',
      summary: 'The task runs and subflows of a run, in order',
      tag,
      priority: 'low',
      input: byId,
      reply: z.array(replies.graphNode),
      example: { reply: [{ ...node, total_run_time: 1.5, estimated_run_time: 1.5 }] },
      failure: 'failed to fetch graph for flow_run',
      errors: [404],
    },
    async ({ path }, { prefect, cut }) => {
      const graph = await readGraph(prefect, limits, path.flow_run_id);
      cut(graph);
      return graph.rows;
    },
  );

  router.add(
    {
      method: 'get',
      path: '/proxy/flow_runs/logs/{flow_run_id}',
      operationId: 'listRunLogs',
      summary: 'The logs of a run and of its subflows, oldest first',
      tag,
      priority: 'low',
      input: z.object({
        path: requests.flowRunPath,
        query: z.object({
          task_run_id: requests.uuidOrEmpty
            .default('')
            .openapi({ description: 'Only the logs of this task run' }),
          limit: requests.rowLimit,
          offset: requests.count.default(0).openapi({ description: 'Rows to leave out', default: 0 }),
        }),
      }),
      reply: z.object({ offset: z.number().int(), logs: z.array(replies.log) }),
      example: { reply: { offset: 0, logs: [log] } },
      failure: FETCH_LOGS,
      errors: [404],
    },
    async ({ path, query: { task_run_id: taskRunId, limit, offset } }, { prefect, cut }) => {
      const found = await listLogs(prefect, limits, path.flow_run_id, { taskRunId, limit, offset });
      cut(found);
      return { offset, logs: found.rows };
    },
  );

  router.add(
    {
      method: 'get',
      path: '/proxy/flow_runs/v1/logs/{flow_run_id}',
      operationId: 'listRunLogsByNode',
      summary: 'The logs of a run, by node of its graph',
      tag,
      priority: 'low',
      input: byId,
      reply: z.array(replies.nodeLogs),
      example: { reply: [{ ...node, logs: [log] }] },
      failure: FETCH_LOGS,
      errors: [404],
    },
    async ({ path }, { prefect, cut }) => {
      const found = await readNodeLogs(prefect, limits, path.flow_run_id);
      cut(found);
      return found.rows;
    },
  );
}
