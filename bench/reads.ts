import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { Pool } from 'undici';
import type { Children } from './lib/children.js';
import { startFacade, type Server } from './lib/servers.js';
import { median } from './lib/stats.js';
import * as naive from './prefect/naive.js';
import { PrefectRest } from './prefect/rest.js';
import { RUNS, withSeeds } from './prefect/seed.js';
import { startPrefect } from './prefect/server.js';

/** Milliseconds of each request, and the upstream calls it took. The same index on both sides is the same round. */
export interface ReadResult {
  facade: { ms: number[]; calls: number };
  naive: { ms: number[]; calls: number };
}

export interface ReadsResult {
  list: ReadResult;
  logs: ReadResult;
}

interface Read {
  name: string;
  path: string;
  naive: () => Promise<unknown>;
}

export interface ReadsPlan {
  repetitions: number;
  /** Time that one kind of read may take; at least 3 repetitions are made. */
  budgetMs: number;
}

/** @param server where Prefect is, or the Python environment to start one with */
export async function benchReads(
  children: Children,
  server: { apiUrl: string } | { python: string },
  plan: ReadsPlan,
  say: (line: string) => void,
): Promise<ReadsResult> {
  if ('python' in server) say('reads: Prefect server starts');
  const { apiUrl } = 'python' in server ? await startPrefect(children, server.python) : server;
  const api = new PrefectRest(apiUrl);
  say('reads: seeding');
  try {
    return await withSeeds(api, async (seeds) => {
      const facade = await startFacade(children, 'facade-reads', apiUrl);
      const list = {
        name: 'list',
        path: `/proxy/flow_runs?deployment_id=${seeds.deploymentId}&limit=${RUNS}`,
        naive: () => naive.listRuns(api, seeds.deploymentId, RUNS),
      };
      const logs = {
        name: 'logs',
        path: `/proxy/flow_runs/v1/logs/${seeds.wideRunId}`,
        naive: () => naive.nodeLogs(api, seeds.wideRunId),
      };
      say(`reads: up to ${plan.repetitions} requests each way, one at a time`);
      return { list: await compare(facade, api, list, plan), logs: await compare(facade, api, logs, plan) };
    });
  } finally {
    await api.close();
  }
}

async function compare(facade: Server, api: PrefectRest, read: Read, plan: ReadsPlan): Promise<ReadResult> {
  const pool = new Pool(facade.url);
  const ask = async (round: number) => {
    const headers = { 'x-request-id': `bench-${read.name}-${round}`, 'x-ddp-org': 'acme' };
    const { statusCode, body } = await pool.request({ method: 'GET', path: read.path, headers });
    if (statusCode !== 200) throw new Error(`The facade answered ${statusCode}: ${await body.text()}`);
    return body.json();
  };
  // Both ways once, unmeasured: it warms them up, and shows that they answer the same.
  const [ours, theirs] = [await ask(-1), await read.naive()];
  if (!isDeepStrictEqual(ours, theirs))
    throw new Error(`${read.name}: the two ways differ in what they answer`);

  const ms: Record<'facade' | 'naive', number[]> = { facade: [], naive: [] };
  const naiveCalls: number[] = [];
  const started = performance.now();
  for (let round = 0; round < plan.repetitions; round += 1) {
    if (round >= 3 && performance.now() - started > plan.budgetMs) break;
    ms.facade.push(await timed(() => ask(round)));
    const before = api.calls;
    ms.naive.push(await timed(read.naive));
    naiveCalls.push(api.calls - before);
  }
  await pool.close();
  const facadeCalls = loggedCalls(facade.logFile, `bench-${read.name}-`);
  return {
    facade: { ms: ms.facade, calls: median(facadeCalls) },
    naive: { ms: ms.naive, calls: median(naiveCalls) },
  };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

/** `upstream_calls` of the facade's own log lines. */
function loggedCalls(logFile: string, requestIds: string): number[] {
  const lines = readFileSync(logFile, 'utf8')
    .split('\n')
    .filter((line) => line.includes(`"${requestIds}`));
  return lines.map((line) => (JSON.parse(line) as { upstream_calls: number }).upstream_calls);
}
