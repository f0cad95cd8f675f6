import type { PrefectSession } from '../prefect/client.js';
import { UpstreamError } from '../prefect/errors.js';
import * as workPools from '../prefect/work-pools.js';
import type { ListLimits } from './rows.js';

export interface WorkersQuery {
  work_queue_names: string[];
  work_pool_names: string[];
  status: string;
}

/**
 * How many workers of a status would pick up a run of these queues in these pools: named pools only (any, where none
 * is named), and of them those where a named queue is being polled (a worker does not say which queues it serves).
 * Nothing named: nobody, as the existing proxy counts.
 */
export async function countWorkers(
  api: PrefectSession,
  { size, ceiling }: ListLimits,
  wanted: WorkersQuery,
): Promise<number> {
  const { work_queue_names: queueNames, work_pool_names: poolNames, status } = wanted;
  let pools = [...new Set(poolNames)];
  if (queueNames.length > 0) {
    const { rows } = await workPools.queues(api, size, queueNames, { ceiling });
    const polled = rows
      .filter((queue) => queue.status === 'READY')
      .map((queue) => queue.work_pool_name ?? '');
    pools = [...new Set(polled)].filter((pool) => pools.length === 0 || pools.includes(pool));
  }
  // Prefect has no list of workers over all pools; hosts ask for one pool.
  const counts = await Promise.all(
    pools.map((pool) => workPools.countWorkers(api, size, pool, status, { ceiling }).catch(zeroIfUnknown)),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

function zeroIfUnknown(error: unknown): number {
  if (error instanceof UpstreamError && error.isNotFound) return 0;
  throw error;
}
