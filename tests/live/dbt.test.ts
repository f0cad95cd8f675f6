import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { Child } from '../../src/process/local/child.js';
import { endStack } from '../../src/process/local/end-stack.js';
import { contract } from '../support/contract.js';
import { findPostgres, Postgres } from '../support/postgres.js';
import { startRealWorker } from '../support/real-worker.js';

/* A real dbt on a real PostgreSQL, run by a real worker: the flows, the profile and the environment fit together. */
const lacking = [
  ...(findPostgres() ? [] : ["PostgreSQL's initdb"]),
  ...(hasDbt() ? [] : ['a dbt (FLOWS_DBT, or on the PATH)']),
].join(' and ');
if (lacking && process.env['CI']) throw new Error(`${lacking} not found: see flows/README.md`);
if (lacking) process.stdout.write(`No runs of a real dbt: ${lacking} not found, see flows/README.md\n`);

const pool = `dbt-${randomUUID().slice(0, 8)}`;
const c = contract({ DEFAULT_WORK_POOL_NAME: pool });

/** Two models, with a test that holds and one that does not. */
const PROJECT = {
  'dbt_project.yml': '{name: shop, profile: shop, models: {shop: {+materialized: table}}}',
  'models/orders.sql': 'select 1 as id, 10 as amount union all select 2, null',
  'models/totals.sql': "select sum(amount) as total from {{ ref('orders') }}",
  'models/schema.yml': `models:
  - {name: orders, columns: [{name: id, data_tests: [unique]}, {name: amount, data_tests: [not_null]}]}`,
};

let home: string;
let project_dir: string;
let worker: Child;
let warehouse: Postgres;
let database: URL;

describe.skipIf(lacking)('A real dbt', { timeout: 300_000 }, () => {
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'prefect-proxy-dbt-'));
    project_dir = join(home, 'shop');
    for (const [name, text] of Object.entries(PROJECT)) {
      await mkdir(dirname(join(project_dir, name)), { recursive: true });
      await writeFile(join(project_dir, name), text);
    }
    warehouse = await Postgres.start(findPostgres() ?? '');
    database = new URL(warehouse.createDatabase());
    await c.seed.pool(pool);
    worker = await startRealWorker({ apiUrl: c.apiUrl, pool, home }, dbtEnv());
  });
  afterAll(async () => {
    await endStack(home, { worker });
    warehouse.stop();
    const names = { flows: { name: { any_: ['run-one-task', 'shop-pipeline'] } } };
    for (const { id } of z.array(withId).parse(await c.seed.call('POST', '/flows/filter', names)))
      await c.seed.call('DELETE', `/flows/${id}`);
    await rm(home, { recursive: true });
  });

  it('runs and tests: the models are there, and a finding about the data is no failure', async () => {
    const block = await profile('one');
    const run = await runDbt('dbt-run', 'dbt run', block);
    expect(run.status, run.text).toBe(200);
    expect(run.text).not.toContain(database.password);
    expect(lines(run.json)).toContain('Done. PASS=2 WARN=0 ERROR=0 SKIP=0 NO-OP=0 TOTAL=2');
    expect(warehouse.query(database, 'select total from one.totals')).toBe('10');

    const good = await runDbt('dbt-test', 'dbt test --select test_name:unique', block);
    expect(good.status, good.text).toBe(200);
    expect(lines(good.json)).toContain('Completed successfully');
    expect(await stateOf(good.headers['x-flow-run-id'])).toEqual(['COMPLETED', 'Completed']);

    const bad = await runDbt('dbt-test', 'dbt test', block);
    expect(bad.status, bad.text).toBe(200);
    expect(lines(bad.json)).toContain('Completed with 1 error, 0 partial successes, and 0 warnings:');
    expect(await stateOf(bad.headers['x-flow-run-id'])).toEqual(['COMPLETED', 'DBT_TEST_FAILED']);
  });

  it('a model that fails is a 400 that says which', async () => {
    const reply = await runDbt('dbt-run', 'dbt run --select totals', await profile('without_orders'));
    expect(reply.status, reply.text).toBe(400);
    expect(reply.text).toContain('relation \\"without_orders.orders\\" does not exist');
    expect(reply.text).not.toContain(database.password);
  });

  it("in a deployment's pipeline, which goes on after a finding", async () => {
    const block = await profile('pipeline');
    const task = (seq: number, slug: string, command: string) => ({
      ...dbtTask(slug, command),
      seq,
      env: { 'dbt-profile-secret-block': block },
    });
    const after = { ...hello, seq: 3 };
    const tasks = [task(1, 'dbt-run', 'dbt run'), task(2, 'dbt-test', 'dbt test'), after];
    const made = await c.host.post('/proxy/v1/deployments/', {
      flow_name: 'shop-pipeline',
      deployment_name: c.seed.name('nightly'),
      org_slug: 'acme',
      cron: '',
      deployment_params: { config: { org_slug: 'acme', tasks } },
    });
    const { deployment } = z.object({ deployment: withId }).parse(made.json);
    const run = await c.host.post(`/proxy/deployments/${deployment.id}/flow_run`, {});
    const { flow_run_id: id } = z.object({ flow_run_id: z.string() }).parse(run.json);
    for (let ended = false; !ended;) {
      const reply = await c.host.get(`/proxy/v1/flow_runs/${id}/wait?timeout=60`);
      ended = reply.headers['x-run-ended'] === 'true';
    }
    expect(await stateOf(id)).toEqual(['COMPLETED', 'Completed']);
    const { json } = await c.host.get(`/proxy/v1/flow_runs/${id}/result`);
    const { tasks: results } = z.object({ tasks: z.array(z.looseObject({})) }).parse(json);
    expect(results.map(({ slug, state_name: state }) => [slug, state])).toEqual([
      ['dbt-run', 'Completed'],
      ['dbt-test', 'DBT_TEST_FAILED'],
      ['hello', 'Completed'],
    ]);
    expect(warehouse.query(database, 'select count(*) from pipeline.orders')).toBe('2');
  });
});

const withId = z.looseObject({ id: z.string() });
const answer = z.object({ status: z.literal('success'), result: z.array(z.string()) });

/** Without their times and colours. */
function lines(json: unknown): string[] {
  return answer
    .parse(json)
    .result.map((line) => line.replaceAll(/\x1b\[\d*m/g, '').replace(/^[\d:]{8} +/, ''));
}

async function stateOf(id: string | string[] | undefined): Promise<unknown[]> {
  const { json } = await c.host.get(`/proxy/flow_runs/${String(id)}/poll`);
  const { state_type: type, state_name: name } = z.looseObject({}).parse(json);
  return [type, name];
}

/** A Secret block as hosts make it. @returns its name */
async function profile(schema: string): Promise<string> {
  const { hostname: host, port, username, password, pathname } = database;
  const creds = { host, port: Number(port), username, password, database: pathname.slice(1) };
  const blockName = c.seed.name('warehouse');
  const secret = JSON.stringify({ wtype: 'postgres', default_schema: schema, creds });
  await c.host.post('/proxy/blocks/secret/', { blockName, secret });
  return blockName;
}

const hello = {
  type: 'Shell Operation',
  slug: 'hello',
  commands: ['echo hello'],
  working_dir: '/tmp',
  env: {},
};
const dbtTask = (slug: string, command: string) => ({
  type: 'dbt Core Operation',
  slug,
  commands: [`/home/org/dbt/venv/bin/${command}`],
  env: {},
  working_dir: project_dir,
  project_dir,
  profiles_dir: join(project_dir, 'profiles'),
});

const runDbt = (slug: string, command: string, cli_profile_block: string) =>
  c.host.post('/proxy/v1/flows/dbtcore/run/', {
    ...dbtTask(slug, command),
    cli_profile_block,
    flow_name: 'f',
    flow_run_name: slug,
  });

function dbtEnv(): Record<string, string> {
  const dbt = process.env['FLOWS_DBT'];
  return { DBT_SEND_ANONYMOUS_USAGE_STATS: 'false', ...(dbt ? { FLOWS_DBT: dbt } : {}) };
}

function hasDbt(): boolean {
  try {
    execFileSync(process.env['FLOWS_DBT'] ?? 'dbt', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
