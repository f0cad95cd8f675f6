import { request } from 'undici';
import { findPostgres, Postgres } from '../tests/support/postgres.js';
import { limitedChildren, say } from './lib/limited.js';
import { startFacade } from './lib/servers.js';
import { median } from './lib/stats.js';
import { PrefectRest } from './prefect/rest.js';
import { ensurePython, startPrefect, startWorker } from './prefect/server.js';
import { machine } from './report.js';

/*
 * What the facade adds to a synchronous run, one run after the other, on a real server (PostgreSQL, where its programs are)
 * and a real worker: from the request to the run's creation, and from its end to the reply. All clocks are this machine's.
 * `npm run bench -- --only sync`
 */
const RUNS = 20;
const POOL = 'bench';
const QUIET = { RECONCILE_INTERVAL: '0', DEFAULT_WORK_POOL_NAME: POOL };
const TIME_LIMIT_MS = 280_000;
const TASK = {
  type: 'Shell Operation',
  slug: 'hello',
  commands: ['echo hello'],
  working_dir: '/tmp',
  env: {},
  flow_name: 'f',
  flow_run_name: 'r',
};

const children = limitedChildren(TIME_LIMIT_MS);
try {
  const programs = findPostgres();
  const database = programs && (await Postgres.start(programs)).createDatabase();
  const python = await ensurePython(say);
  const { apiUrl } = await startPrefect(children, python, database);
  const api = new PrefectRest(apiUrl);
  await api.post('/work_pools/', { name: POOL, type: 'process' });
  await startWorker(children, python, { apiUrl, pool: POOL });
  const { url } = await startFacade(children, 'facade', apiUrl, QUIET);
  const before = machine();
  // Makes the deployment; the worker is there when it ends.
  await run(url, api);
  const runs: Overhead[] = [];
  while (runs.length < RUNS) runs.push(await run(url, api));
  const on = database === undefined ? 'SQLite' : 'PostgreSQL';
  process.stdout.write(`\n${before}\n\n${RUNS} synchronous runs, Prefect on ${on}\n`);
  row(
    'request to creation',
    runs.map(({ creation }) => creation),
  );
  row(
    'end to reply',
    runs.map(({ reply }) => reply),
  );
  row(
    'overhead',
    runs.map(({ creation, reply }) => creation + reply),
  );
  await api.close();
} finally {
  await children.endAll();
}

/** In milliseconds. */
interface Overhead {
  creation: number;
  reply: number;
}

async function run(url: string, api: PrefectRest): Promise<Overhead> {
  const sent = Date.now();
  const reply = await request(`${url}/proxy/flows/shell/run/`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(TASK),
  });
  const text = await reply.body.text();
  const answered = Date.now();
  if (reply.statusCode !== 200) throw new Error(`the facade answered ${reply.statusCode}: ${text}`);
  const id = String(reply.headers['x-flow-run-id']);
  const { created, end_time } = await api.get<{ created: string; end_time: string }>(`/flow_runs/${id}`);
  return { creation: Date.parse(created) - sent, reply: answered - Date.parse(end_time) };
}

function row(name: string, times: number[]): void {
  const sorted = times.toSorted((a, b) => a - b);
  const p95 = sorted[Math.floor(sorted.length * 0.95)] ?? NaN;
  const ms = (value: number) => `${value.toFixed(0)} ms`;
  const text = `${ms(median(times))} (median), ${ms(p95)} (p95), ${ms(sorted.at(-1) ?? NaN)} (most)`;
  process.stdout.write(`${name.padEnd(20)}${text}\n`);
}
