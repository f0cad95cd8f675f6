import { setTimeout as sleep } from 'node:timers/promises';
import { LocalStackError } from './errors.js';

export interface QueueOptions {
  name: string;
  concurrencyLimit?: number;
}

interface Reply {
  status: number;
  body: unknown;
}

/** Whether the server answers its health check. */
export async function isHealthy(apiUrl: string): Promise<boolean> {
  try {
    const reply = await fetch(`${apiUrl}/health`, { signal: AbortSignal.timeout(2000) });
    await reply.body?.cancel();
    return reply.ok;
  } catch {
    return false;
  }
}

/** Makes the pool and its queues where they are missing. A limit that is given is set, others stay as they are. */
export async function ensurePool(
  apiUrl: string,
  pool: { name: string; type: string; queues: QueueOptions[] },
): Promise<void> {
  const path = `/work_pools/${encodeURIComponent(pool.name)}`;
  const made = await send(apiUrl, 'POST', '/work_pools/', { name: pool.name, type: pool.type });
  if (made.status === 409) {
    const { type } = (await send(apiUrl, 'GET', path)).body as { type?: string };
    if (type !== pool.type) {
      throw new LocalStackError(
        `The work pool ${pool.name} exists and is of type ${type ?? 'unknown'}, not ${pool.type}. ` +
          `Choose another PREFECT_POOL_NAME, or delete .local/prefect to begin anew.`,
      );
    }
  }
  for (const { name, concurrencyLimit } of pool.queues) {
    const limit = concurrencyLimit === undefined ? {} : { concurrency_limit: concurrencyLimit };
    const queue = await send(apiUrl, 'POST', `${path}/queues`, { name, ...limit });
    if (queue.status === 409 && concurrencyLimit !== undefined) {
      await send(apiUrl, 'PATCH', `${path}/queues/${encodeURIComponent(name)}`, limit);
    }
  }
}

/** Whether a worker has reported to the pool since the time given (the server keeps those of earlier starts). */
export async function hasWorker(apiUrl: string, poolName: string, since: Date): Promise<boolean> {
  const path = `/work_pools/${encodeURIComponent(poolName)}/workers/filter`;
  const workers = (await send(apiUrl, 'POST', path, {})).body as { last_heartbeat_time: string | null }[];
  return workers.some(
    ({ last_heartbeat_time: beat }) => beat !== null && Date.parse(utc(beat)) >= since.getTime(),
  );
}

/** SQLite gives times without a zone. */
const utc = (time: string) => (/(Z|[+-]\d\d:?\d\d)$/.test(time) ? time : `${time}Z`);

async function send(apiUrl: string, method: string, path: string, body?: unknown): Promise<Reply> {
  for (let attempt = 1; ; attempt += 1) {
    const reply = await fetch(apiUrl + path, {
      method,
      headers: { 'content-type': 'application/json' },
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(10_000),
    });
    const text = await reply.text();
    if (reply.ok || reply.status === 409) {
      return { status: reply.status, body: text === '' ? null : JSON.parse(text) };
    }
    // "database is locked" is a 503, and routine with SQLite.
    if (reply.status < 500 || attempt >= 5) {
      throw new LocalStackError(`The Prefect server answered ${reply.status} to ${method} ${path}.`);
    }
    await sleep(100 * attempt);
  }
}
