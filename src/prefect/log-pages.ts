import { z } from 'zod';
import type { PrefectSession } from './client.js';
import { readPages, type PageSize } from './pages.js';
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
export type FollowedLog = z.input<typeof log>;

export interface LogPage {
  flowRunIds: readonly string[];
  /** ISO time, inclusive. */
  after?: string | undefined;
  offset?: number;
  limit: number;
  newestFirst?: boolean;
}

/** `POST /logs/filter`: one page of the logs of some runs, by their timestamps. */
export async function readPage(api: PrefectSession, size: PageSize, wanted: LogPage): Promise<FollowedLog[]> {
  const { flowRunIds, after, offset = 0, limit, newestFirst = false } = wanted;
  const fetchPage = (pageLimit: number, pageOffset: number) =>
    api.post(path`/logs/filter`, {
      body: {
        logs: { flow_run_id: { any_: flowRunIds }, ...(after ? { timestamp: { after_: after } } : {}) },
        sort: newestFirst ? 'TIMESTAMP_DESC' : 'TIMESTAMP_ASC',
        limit: pageLimit,
        offset: pageOffset,
      },
      retry: 'read',
      parse: logs,
    });
  return (await readPages(size, fetchPage, { offset, limit, ceiling: limit })).rows;
}
