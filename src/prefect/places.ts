import { z } from 'zod';
import type { PrefectSession } from './client.js';
import { UpstreamError } from './errors.js';
import { readPages, type PageSize } from './pages.js';
import { plain } from './parse.js';
import { path } from './path.js';
import { countWorkers } from './work-pools.js';

/* What decides whether a run can start: its deployment, work pool, queue, limits. */

const place = { is_paused: z.boolean(), concurrency_limit: z.number().nullish() };

const pool = z.object({ ...place, type: z.string() });
export type Pool = z.input<typeof pool>;

const queue = z.object({ ...place, id: z.string(), last_polled: z.string().nullish() });
export type Queue = z.input<typeof queue>;

const deployment = z.object({
  name: z.string(),
  paused: z.boolean(),
  global_concurrency_limit: z
    .object({ active: z.boolean(), limit: z.number(), active_slots: z.number() })
    .nullish(),
});
export type DeploymentPlace = z.input<typeof deployment>;

const tasks = plain(
  z.array(
    z.object({
      id: z.string(),
      flow_run_id: z.string().nullable(),
      tags: z.array(z.string()),
    }),
  ),
);

/** `GET /work_pools/{name}` @returns null where there is none any more */
export function readPool(api: PrefectSession, name: string): Promise<Pool | null> {
  return orNull(api.get(path`/work_pools/${name}`, { retry: 'read', parse: plain(pool) }));
}

/** `GET /work_pools/{pool}/queues/{name}` @returns null where there is none any more */
export function readQueue(api: PrefectSession, poolName: string, name: string): Promise<Queue | null> {
  return orNull(
    api.get(path`/work_pools/${poolName}/queues/${name}`, { retry: 'read', parse: plain(queue) }),
  );
}

/** `POST /work_pools/{name}/workers/filter` @returns 1 where a worker is online, else 0 */
export async function onlineWorkers(api: PrefectSession, size: PageSize, poolName: string): Promise<number> {
  return (await orNull(countWorkers(api, size, poolName, 'ONLINE', { ceiling: 1 }))) ?? 0;
}

/** `GET /deployments/{id}` @returns null where there is none any more */
export function readDeployment(api: PrefectSession, id: string): Promise<DeploymentPlace | null> {
  return orNull(api.get(path`/deployments/${id}`, { retry: 'read', parse: plain(deployment) }));
}

/** `POST /task_runs/filter`, up to a page. @param where filters of Prefect's API */
export async function listTasks(api: PrefectSession, size: PageSize, where: Record<string, unknown>) {
  const fetchPage = (limit: number, offset: number) =>
    api.post(path`/task_runs/filter`, { body: { ...where, limit, offset }, retry: 'read', parse: tasks });
  return (await readPages(size, fetchPage, { limit: size.pageSize, ceiling: size.pageSize })).rows;
}

const heartbeats = plain(z.object({ events: z.array(z.object({ occurred: z.string() })) }));

/** `POST /events/filter`: when the process of a run last said that it lives, the latest first; up to two times. */
export async function lastHeartbeats(api: PrefectSession, flowRunId: string): Promise<string[]> {
  const filter = {
    event: { name: ['prefect.flow-run.heartbeat'] },
    resource: { id: [`prefect.flow-run.${flowRunId}`] },
  };
  const body = { filter, limit: 2 };
  const { events } = await api.post(path`/events/filter`, { body, retry: 'read', parse: heartbeats });
  return events.map(({ occurred }) => occurred);
}

function orNull<T>(read: Promise<T>): Promise<T | null> {
  return read.catch((error: unknown) => {
    if (error instanceof UpstreamError && error.isNotFound) return null;
    throw error;
  });
}
