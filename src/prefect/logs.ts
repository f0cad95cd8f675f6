import { z } from 'zod';
import type { PrefectSession } from './client.js';
import { readPages, type PageSize, type Rows } from './pages.js';
import { plain } from './parse.js';
import { path } from './path.js';

const log = z.object({
  /** Ids are made in the order in which logs come in (UUIDv7); timestamps are those of whoever wrote them. */
  id: z.string(),
  name: z.string(),
  level: z.number(),
  timestamp: z.string(),
  message: z.string(),
  flow_run_id: z.string().nullable(),
  task_run_id: z.string().nullable(),
});
const logs = plain(z.array(log));
export type Log = z.input<typeof log>;

interface Wanted {
  offset?: number;
  limit?: number | undefined;
  ceiling: number;
  newestFirst?: boolean | undefined;
}

/**
 * `POST /logs/filter` by their timestamps, oldest first unless it is said otherwise, all pages.
 * @param filter a LogFilter of Prefect's API
 */
export function list(
  api: PrefectSession,
  size: PageSize,
  filter: Record<string, unknown>,
  { newestFirst = false, ...wanted }: Wanted,
): Promise<Rows<Log>> {
  const sort = newestFirst ? 'TIMESTAMP_DESC' : 'TIMESTAMP_ASC';
  const fetchPage = (limit: number, offset: number) =>
    api.post(path`/logs/filter`, {
      body: { logs: filter, sort, limit, offset },
      retry: 'read',
      parse: logs,
    });
  return readPages(size, fetchPage, wanted);
}

export interface LogsOfRuns {
  flowRunIds: readonly string[];
  /** ISO time, inclusive. */
  after?: string | undefined;
  offset?: number;
  limit: number;
  newestFirst?: boolean;
}

/** Up to `limit` logs of some runs, by their timestamps. */
export async function ofRuns(api: PrefectSession, size: PageSize, wanted: LogsOfRuns): Promise<Log[]> {
  const { flowRunIds, after, limit, ...more } = wanted;
  const filter = { flow_run_id: { any_: flowRunIds }, ...(after ? { timestamp: { after_: after } } : {}) };
  return (await list(api, size, filter, { ...more, limit, ceiling: limit })).rows;
}
