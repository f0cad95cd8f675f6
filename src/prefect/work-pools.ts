import { z } from 'zod';
import type { PrefectSession } from './client.js';
import { readPages, type PageSize, type Rows } from './pages.js';
import { plain } from './parse.js';
import { path } from './path.js';

const queue = z.object({
  id: z.string(),
  name: z.string(),
  /** READY: a worker polled it within the last minute and it is not paused. */
  status: z.string().nullish(),
  work_pool_name: z.string().nullish(),
});
export type WorkQueue = z.infer<typeof queue>;

const worker = z.object({ id: z.string(), name: z.string() });
const pool = z.object({ id: z.string(), name: z.string() });

interface ListOptions {
  ceiling: number;
}

/** `POST /work_pools/filter`: the names of all work pools. */
export async function names(api: PrefectSession, size: PageSize, options: ListOptions): Promise<string[]> {
  const fetchPage = (limit: number, offset: number) =>
    api.post(path`/work_pools/filter`, {
      body: { limit, offset },
      retry: 'read',
      parse: plain(z.array(pool)),
    });
  return (await readPages(size, fetchPage, options)).rows.map((row) => row.name);
}

/** `POST /work_queues/filter`: the queues of these names, in any pool. */
export function queues(
  api: PrefectSession,
  size: PageSize,
  queueNames: string[],
  options: ListOptions,
): Promise<Rows<WorkQueue>> {
  const fetchPage = (limit: number, offset: number) =>
    api.post(path`/work_queues/filter`, {
      body: { work_queues: { name: { any_: queueNames } }, limit, offset },
      retry: 'read',
      parse: plain(z.array(queue)),
    });
  return readPages(size, fetchPage, options);
}

/**
 * `POST /work_pools/{name}/workers/filter`: how many workers of that status a pool has.
 * @param status `ONLINE` or `OFFLINE`; the orchestrator decides which words it knows
 */
export async function countWorkers(
  api: PrefectSession,
  size: PageSize,
  poolName: string,
  status: string,
  options: ListOptions,
): Promise<number> {
  const fetchPage = (limit: number, offset: number) =>
    api.post(path`/work_pools/${poolName}/workers/filter`, {
      body: { workers: { status: { any_: [status] } }, limit, offset },
      retry: 'read',
      parse: plain(z.array(worker)),
    });
  return (await readPages(size, fetchPage, options)).rows.length;
}
