import { randomUUID } from 'node:crypto';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { Child } from '../../src/process/local/child.js';
import { endStack } from '../../src/process/local/end-stack.js';
import { contract } from '../support/contract.js';
import { startRealWorker } from '../support/real-worker.js';

/** Synchronous runs as hosts know them: a real worker runs them, a real server tells of their end. */
const pool = `sync-${randomUUID().slice(0, 8)}`;
const c = contract({ DEFAULT_WORK_POOL_NAME: pool });

/** Says what it was given, and of its profile what is no secret. */
const STAND_IN = `#!/bin/sh
for argument; do
    if [ "$previous" = --profiles-dir ]; then profiles=$argument; fi
    previous=$argument
done
echo "dbt $1 $2 $3"
grep -o 'schema: .*' "$profiles/profiles.yml"
`;

let home: string;
let worker: Child;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'prefect-proxy-sync-'));
  await mkdir(join(home, 'shop'));
  await writeFile(join(home, 'shop', 'dbt_project.yml'), '{name: shop, profile: shop}');
  const dbt = join(home, 'dbt');
  await writeFile(dbt, STAND_IN);
  await chmod(dbt, 0o755);
  await c.seed.pool(pool);
  worker = await startRealWorker({ apiUrl: c.apiUrl, pool, home }, { FLOWS_DBT: dbt });
});
afterAll(async () => {
  await endStack(home, { worker });
  const flows = { flows: { name: { any_: ['run-one-task'] } } };
  for (const { id } of z.array(withId).parse(await c.seed.call('POST', '/flows/filter', flows)))
    await c.seed.call('DELETE', `/flows/${id}`);
  await rm(home, { recursive: true });
});

const failed = z.object({ upstream: z.object({ logs: z.array(z.object({ message: z.string() })) }) });
const withId = z.looseObject({ id: z.string() });
const shell = (...commands: string[]) => ({
  type: 'Shell Operation',
  slug: 'hello',
  commands,
  working_dir: '/tmp',
  env: { WHO: 'Grüße' },
  flow_name: 'f',
  flow_run_name: 'r',
});
const runShell = (body: unknown, headers: Record<string, string> = {}) =>
  c.host.post('/proxy/flows/shell/run/', body, { headers });

describe('Synchronous runs on a worker', () => {
  it('answer with what the command wrote to stdout', async () => {
    const { status, headers, json } = await runShell(shell('cd /', 'echo "$WHO"; echo oops >&2; pwd'));
    expect(json).toEqual({ status: 'success', result: ['Grüße', '/'] });
    expect(status).toBe(200);
    const run = await c.host.get(`/proxy/flow_runs/${String(headers['x-flow-run-id'])}/poll`);
    expect(run.json).toMatchObject({ state_type: 'COMPLETED', work_pool_name: pool });
  });

  it("see nothing of the folder of the flows, which Prefect's runner puts on PYTHONPATH", async () => {
    const { json } = await runShell(shell('echo "PYTHONPATH=${PYTHONPATH-none}"'));
    expect(json).toEqual({ status: 'success', result: ['PYTHONPATH=none'] });
  });

  it('400 with the last lines of its errors when a command fails', async () => {
    const { status, headers, json } = await runShell(
      shell('echo fine', 'echo oops >&2; exit 3', 'echo never'),
    );
    const why = "task 'hello': command 2 of 3 exited with 3: echo oops >&2; exit 3";
    expect(status).toBe(400);
    expect(json).toMatchObject({
      detail: 'failed to run shell operation flow',
      upstream: {
        flow_run_id: headers['x-flow-run-id'],
        state_type: 'FAILED',
        state_name: 'Failed',
        message: why,
      },
    });
    const lines = failed.parse(json).upstream.logs.map(({ message }) => message);
    expect(lines.slice(-2)).toEqual(['oops', why]);
  });

  it('run dbt with the profile of the block', async () => {
    const secret = {
      wtype: 'postgres',
      default_schema: 'staging',
      creds: { host: 'db', port: 5432, username: 'u', password: 'canary', database: 'shop' },
    };
    const cli_profile_block = c.seed.name('profile');
    await c.host.post('/proxy/blocks/secret/', {
      blockName: cli_profile_block,
      secret: JSON.stringify(secret),
    });
    const project_dir = join(home, 'shop');
    const reply = await c.host.post('/proxy/v1/flows/dbtcore/run/', {
      ...shell('/venv/bin/dbt run --full-refresh'),
      type: 'dbt Core Operation',
      slug: 'dbt-run',
      working_dir: home,
      project_dir,
      profiles_dir: join(project_dir, 'profiles'),
      cli_profile_block,
      cli_args: ['--quiet'],
    });
    expect(reply.json).toEqual({
      status: 'success',
      result: ['dbt run --full-refresh --quiet', 'schema: staging'],
    });
    expect(reply.text).not.toContain('canary');
  });

  it('a host that does not want to wait goes on later', async () => {
    const reply = await runShell(shell('sleep 2', 'echo done'), { prefer: 'wait=1' });
    expect(reply.status).toBe(202);
    const ended = await c.host.get(`${String(reply.headers['location'])}?timeout=60`);
    expect(ended).toMatchObject({ status: 200, headers: { 'x-run-ended': 'true' } });
    const { flow_run_id: id } = z.object({ flow_run_id: z.string() }).parse(reply.json);
    expect((await c.host.get(`/proxy/v1/flow_runs/${id}/result`)).json).toMatchObject({
      tasks: [{ slug: 'hello', result: ['done'] }],
    });
  });
});
