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
const queueRows = plain(z.array(queue));
export type WorkQueue = z.infer<typeof queue>;

const worker = z.object({ id: z.string(), name: z.string() });
const workerRows = plain(z.array(worker));
const pool = z.object({ id: z.string(), name: z.string() });

interface ListOptions {
  ceiling: number;
}

/** `GET /work_pools/{name}` @throws UpstreamError 404 where there is none */
export async function read(api: PrefectSession, name: string): Promise<void> {
  await api.get(path`/work_pools/${name}`, { retry: 'read', parse: plain(pool) });
}

/** `POST /work_queues/filter`: reads one queue or none: cheap, and needs the orchestrator's database and our credentials. */
export async function probe(api: PrefectSession): Promise<void> {
  await api.post(path`/work_queues/filter`, { body: { limit: 1 }, retry: 'read', parse: queueRows });
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
      parse: queueRows,
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
      parse: workerRows,
    });
  return (await readPages(size, fetchPage, options)).rows.length;
}
