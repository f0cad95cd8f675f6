import { z } from 'zod';
import { splitObjects } from '../json.js';
import type { PrefectSession } from './client.js';
import { UpstreamError } from './errors.js';
import { readPages, type PageSize } from './pages.js';
import { nothing, plain } from './parse.js';
import { path } from './path.js';

export const TERMINAL = ['COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED'] as const;
export type TerminalType = (typeof TERMINAL)[number];

const state = z.object({
  id: z.string(),
  type: z.string(),
  name: z.string(),
  timestamp: z.string(),
  message: z.string().nullish(),
  state_details: z
    .looseObject({
      deployment_concurrency_lease_id: z.string().nullish(),
      /** Of a subflow: the task run that stands for it in its parent; it stays when the parent is deleted. */
      task_run_id: z.string().nullish(),
    })
    .nullish(),
});

/** What is looked at of a single flow run. */
const run = z.object({
  id: z.string(),
  name: z.string(),
  parent_task_run_id: z.string().nullable(),
  flow_id: z.string().nullish(),
  expected_start_time: z.string().nullish(),
  start_time: z.string().nullish(),
  end_time: z.string().nullable(),
  total_run_time: z.number().nullish(),
  run_count: z.number().nullish(),
  tags: z.array(z.string()).nullish(),
  /** A host's own: any JSON. */
  parameters: z.unknown().optional(),
  idempotency_key: z.string().nullish(),
  /** Whether Prefect's scheduler made it. */
  auto_scheduled: z.boolean().nullish(),
  deployment_id: z.string().nullish(),
  work_pool_name: z.string().nullish(),
  work_queue_name: z.string().nullish(),
  next_scheduled_start_time: z.string().nullish(),
  labels: z.record(z.string(), z.unknown()).nullish(),
  state: state.nullable(),
});
export type Run = z.input<typeof run>;

/** A run whose state is a terminal one. */
export interface EndedRun extends Run {
  state: z.input<typeof state> & { type: TerminalType };
  end_time: string;
}

/** The run of a text that `flow-runs.readText` or a list gave. @throws UpstreamError `shape` */
export function parseRun(text: string): Run {
  try {
    return readRun(text);
  } catch (error) {
    throw new UpstreamError('shape', { cause: error });
  }
}

const readRun = plain(run);

export function isEnded(one: Run): one is EndedRun {
  return one.end_time !== null && TERMINAL.some((type) => type === one.state?.type);
}

export interface EndedQuery {
  /** ISO times, both inclusive. */
  from: string;
  until?: string | undefined;
  limit: number;
  offset: number;
}

/** `POST /flow_runs/filter`: up to `limit` of the top-level runs that ended within a time, the latest end first. */
export async function listEnded(
  api: PrefectSession,
  size: PageSize,
  wanted: EndedQuery,
): Promise<EndedRun[]> {
  const { from, until } = wanted;
  const query = {
    sort: 'END_TIME_DESC',
    flow_runs: {
      end_time: { after_: from, ...(until ? { before_: until } : {}) },
      state: { type: { any_: TERMINAL } },
      parent_task_run_id: { is_null_: true },
    },
  };
  const parse = (text: string) => splitObjects(text).map(parseRun);
  const fetchPage = (limit: number, offset: number) =>
    api.post(path`/flow_runs/filter`, { body: { ...query, limit, offset }, retry: 'read', parse });
  const { limit, offset } = wanted;
  const found = await readPages(size, fetchPage, { limit, offset, ceiling: limit });
  return found.rows.filter(isEnded);
}

const inlineRuns = plain(z.array(z.object({ id: z.string() })));

/**
 * `POST /flow_runs/filter`, one call a level: a run and the subflows that ran in its own process. A subflow of a
 * deployment has a process of its own and may live on.
 */
export async function inlineFamily(api: PrefectSession, size: PageSize, id: string): Promise<string[]> {
  const family = new Set([id]);
  let level = [id];
  while (level.length > 0) {
    const flowRuns = { parent_flow_run_id: { any_: level }, deployment_id: { is_null_: true } };
    const fetchPage = (limit: number, offset: number) =>
      api.post(path`/flow_runs/filter`, {
        body: { flow_runs: flowRuns, limit, offset },
        retry: 'read',
        parse: inlineRuns,
      });
    const found = await readPages(size, fetchPage, { ceiling: FAMILY_CEILING });
    level = found.rows.map((row) => row.id).filter((child) => !family.has(child));
    for (const child of level) family.add(child);
  }
  return [...family];
}

/** Subflows of one level. */
const FAMILY_CEILING = 10_000;

/** `PATCH /flow_runs/{id}/labels`: adds labels and changes those of the same name. Null or an object would break every list. */
export async function addLabels(
  api: PrefectSession,
  id: string,
  labels: Record<string, string>,
): Promise<void> {
  await api.patch(path`/flow_runs/${id}/labels`, { body: labels, retry: 'idempotent', parse: nothing });
}
