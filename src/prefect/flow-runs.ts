import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { isWholeObject, parsePlainJson, splitObjects } from '../json.js';
import type { PrefectSession } from './client.js';
import { ShapeError, UpstreamError } from './errors.js';
import { readPages, type PageSize, type Rows } from './pages.js';
import { anyNumber, exact, nothing, plain, rowCount } from './parse.js';
import { path } from './path.js';
import { setState, type NewState } from './states.js';

const time = z.string().nullable();

/** The fields of a flow run that are looked at; the object itself keeps all its keys. */
export const flowRun = z.looseObject({
  id: z.string(),
  name: z.string(),
  tags: z.array(z.string()),
  deployment_id: z.string().nullable(),
  state_type: z.string().nullable(),
  state_name: z.string().nullable(),
  start_time: time,
  end_time: time,
  expected_start_time: time,
  total_run_time: anyNumber,
  estimated_run_time: anyNumber,
  work_queue_name: z.string().nullish(),
  work_pool_name: z.string().nullish(),
  parameters: z.record(z.string(), z.unknown()),
  infrastructure_pid: z.string().nullish(),
  empirical_policy: z.looseObject({ retry_type: z.string().nullish() }).nullish(),
  parent_task_run_id: z.string().nullish(),
});
const exactRuns = exact(z.array(flowRun));
const plainRuns = plain(z.array(flowRun));
export type FlowRun = z.input<typeof flowRun>;

const graphNode = z.object({
  id: z.string(),
  kind: z.enum(['flow-run', 'task-run']),
  label: z.string(),
  start_time: time,
  end_time: time,
  children: z.array(z.object({ id: z.string() })),
});
export type GraphNode = z.infer<typeof graphNode>;
const graphV2 = z.object({
  root_node_ids: z.array(z.string()),
  nodes: z.array(z.tuple([z.string(), graphNode])),
});
/** The nodes of one level of a run, and those that no other one leads to. */
export type Graph = z.infer<typeof graphV2>;

const created = z.object({
  id: z.string(),
  name: z.string(),
  deployment_id: z.string().nullish(),
  state_type: z.string().nullish(),
  labels: z.record(z.string(), z.unknown()).nullish(),
});

interface ListOptions {
  limit?: number | undefined;
  ceiling: number;
}

/** A FlowRunFilter of Prefect's API and the filters of what runs belong to, e.g. `{flow_runs: {...}, deployments: {...}}`. */
export type FlowRunQuery = Record<string, unknown> & { sort?: string };

/** `GET /flow_runs/{id}`: the run's own text, once it is known to be a JSON object with this id. */
export function readText(api: PrefectSession, id: string): Promise<string> {
  return api.get(path`/flow_runs/${id}`, {
    retry: 'read',
    parse: (text) => {
      // Prefect's runs begin with their id; what does not is parsed.
      const isRun = text.startsWith(`{"id":"${id}",`) && isWholeObject(text);
      if (!isRun && withId.safeParse(parsePlainJson(text)).data?.id !== id)
        throw new ShapeError('another run');
      return text;
    },
  });
}

const withId = z.object({ id: z.string() });

/** `POST /flow_runs/filter`: the texts of up to a page of runs by id; what does not exist is not in it. */
export function readTexts(api: PrefectSession, ids: readonly string[]): Promise<Map<string, string>> {
  return api.post(path`/flow_runs/filter`, {
    body: { flow_runs: { id: { any_: ids } }, limit: ids.length },
    retry: 'read',
    parse: (text) => {
      const runs = new Map<string, string>();
      for (const run of splitObjects(text)) {
        const id = RUN_ID.exec(run)?.[1] ?? withId.safeParse(parsePlainJson(run)).data?.id;
        if (id === undefined) throw new ShapeError('no run');
        runs.set(id, run);
      }
      return runs;
    },
  });
}

/** Prefect's runs begin with their id; what does not is parsed. */
const RUN_ID = /^\{"id":"([0-9a-f-]{36})",/;

/** `GET /flow_runs/{id}`: the run with all its keys. */
export function read(api: PrefectSession, id: string): Promise<FlowRun> {
  return api.get(path`/flow_runs/${id}`, { retry: 'read', parse: exact(flowRun) });
}

/** `POST /flow_runs/filter`, all pages. Rows keep their numbers as they were written. */
export function list(
  api: PrefectSession,
  size: PageSize,
  query: FlowRunQuery,
  options: ListOptions,
): Promise<Rows<FlowRun>> {
  return pages(api, size, query, options, exactRuns);
}

/** As `list`, faster, for replies that hold none of a host's own values. */
export function listPlain(
  api: PrefectSession,
  size: PageSize,
  query: FlowRunQuery,
  options: ListOptions,
): Promise<Rows<FlowRun>> {
  return pages(api, size, query, options, plainRuns);
}

function pages(
  api: PrefectSession,
  size: PageSize,
  query: FlowRunQuery,
  options: ListOptions,
  parse: (text: string) => FlowRun[],
) {
  const fetchPage = (limit: number, offset: number) =>
    api.post(path`/flow_runs/filter`, { body: { ...query, limit, offset }, retry: 'read', parse });
  const count = () => api.post(path`/flow_runs/count`, { body: query, retry: 'read', parse: rowCount });
  return readPages(size, fetchPage, { ...options, count });
}

/** `DELETE /flow_runs/{id}` */
export function remove(api: PrefectSession, id: string): Promise<void> {
  return api.delete(path`/flow_runs/${id}`);
}

/**
 * `POST /flow_runs/{id}/set_state`; `orElse` is a state type that counts as success, too.
 * @throws UpstreamError also where the orchestrator answers but does not accept the state
 */
export function changeState(
  api: PrefectSession,
  id: string,
  newState: NewState,
  force: boolean | string,
  orElse?: string,
): Promise<void> {
  return setState(api, path`/flow_runs/${id}/set_state`, newState, force, orElse);
}

/** `PATCH /flow_runs/{id}`: forgets the process that a run had. Prefect cancels a scheduled run without one at once. */
export async function forgetProcess(api: PrefectSession, id: string): Promise<void> {
  const body = { infrastructure_pid: null };
  await api.patch(path`/flow_runs/${id}`, { body, retry: 'idempotent', parse: nothing });
}

/**
 * `GET /flow_runs/{id}/graph-v2`: the nodes of one level, each with its children.
 * @returns undefined if there are more of them than Prefect answers (`PREFECT_SERVER_FLOW_RUN_GRAPH_MAX_NODES`, 10,000
 *   unless an operator lowered it): a 400 that says so (3.6.29 and 3.8.8)
 */
export async function graph(api: PrefectSession, id: string): Promise<Graph | undefined> {
  try {
    return await api.get(path`/flow_runs/${id}/graph-v2`, { retry: 'read', parse: plain(graphV2) });
  } catch (error) {
    if (error instanceof UpstreamError && error.status === 400 && isTooLarge(error.details.explanation))
      return undefined;
    throw error;
  }
}

function isTooLarge(explanation: unknown): boolean {
  return typeof explanation === 'string' && / has more than \d+ nodes\b/.test(explanation);
}

export interface NewRun {
  parameters: Record<string, unknown>;
  /** ISO time; now where it is not given. */
  scheduledTime?: string | undefined;
  labels?: Record<string, string> | undefined;
  /** Unique within the flow, not the deployment. One of its own where it is not given. */
  idempotencyKey?: string | undefined;
}

/**
 * `POST /deployments/{id}/create_flow_run`. Always carries an idempotency key, so that a lost reply or a locked
 * database does not make the run twice.
 * @returns the new run, or the one that was made with the same key
 */
export function createFromDeployment(
  api: PrefectSession,
  deploymentId: string,
  { parameters, scheduledTime, labels, idempotencyKey }: NewRun,
): Promise<z.infer<typeof created>> {
  return api.post(path`/deployments/${deploymentId}/create_flow_run`, {
    body: {
      parameters,
      // Now is Prefect's own: ours may be ahead, and the run would wait for it.
      ...(scheduledTime === undefined
        ? {}
        : { state: { type: 'SCHEDULED', state_details: { scheduled_time: scheduledTime } } }),
      idempotency_key: idempotencyKey ?? `prefect-proxy-${randomUUID()}`,
      ...(labels ? { labels } : {}),
    },
    retry: 'idempotent',
    parse: plain(created),
  });
}
