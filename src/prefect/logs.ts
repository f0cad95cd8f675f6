import { z } from 'zod';
import type { PrefectSession } from './client.js';
import { readPages, type PageSize, type Rows } from './pages.js';
import { plain } from './parse.js';
import { path } from './path.js';

const log = z.object({
  id: z.string(),
  level: z.number(),
  timestamp: z.string(),
  message: z.string(),
  flow_run_id: z.string().nullable(),
  task_run_id: z.string().nullable(),
});
const logs = plain(z.array(log));
export type Log = z.infer<typeof log>;

/**
 * `POST /logs/filter`, oldest first, all pages.
 * @param filter a LogFilter of Prefect's API
 */
export function list(
  api: PrefectSession,
  size: PageSize,
  filter: Record<string, unknown>,
  wanted: { offset?: number; limit?: number | undefined; ceiling: number },
): Promise<Rows<Log>> {
  const fetchPage = (limit: number, offset: number) =>
    api.post(path`/logs/filter`, {
      body: { logs: filter, sort: 'TIMESTAMP_ASC', limit, offset },
      retry: 'read',
      parse: logs,
    });
  return readPages(size, fetchPage, wanted);
}
