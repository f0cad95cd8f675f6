import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { Child } from '../../src/process/local/child.js';
import { endStack } from '../../src/process/local/end-stack.js';
import { deployFlows } from '../process/deploy-flows.js';
import { contract } from '../support/contract.js';
import { startRealWorker } from '../support/real-worker.js';

/* The flows come from a clone of this repository, in which they are in a folder: all that is made here finds them there. */
const root = new URL('../..', import.meta.url).pathname;
const home = mkdtempSync(join(tmpdir(), 'prefect-proxy-git-'));
const repository = join(home, 'repository');
const pool = `git-${randomUUID().slice(0, 8)}`;
const FROM_GIT = {
  FLOWS_GIT_URL: `file://${repository}`,
  FLOWS_DIRECTORY: 'flows',
  PREFECT_PROXY_GIT_BRANCH: 'published',
  DEFAULT_WORK_POOL_NAME: pool,
};
const c = contract(FROM_GIT);

/** What a host switches its deployments to: a flow that is somewhere else in the repository. */
const OTHER_FLOW = `from prefect import flow


@flow(log_prints=True)
def deployment_schedule_flow_v5(config: dict, dbt_blocks: list | None = None, airbyte_blocks: list | None = None):
    print(f"the other flow runs {len(config['tasks'])} task")
`;

let worker: Child;
beforeAll(async () => {
  const git = (...args: string[]) => execFileSync('git', args, { cwd: home, stdio: 'pipe' });
  const inside = (...args: string[]) =>
    git('-C', repository, '-c', 'user.name=a', '-c', 'user.email=a@localhost', ...args);
  git('clone', '--quiet', '--no-hardlinks', root, repository);
  inside('checkout', '--quiet', '-b', 'published');
  await mkdir(join(repository, 'proxy'));
  await writeFile(join(repository, 'proxy', 'prefect_flows_runner.py'), OTHER_FLOW);
  inside('add', 'proxy');
  inside('commit', '--quiet', '--no-verify', '-m', 'Add a flow');
  const dbt = join(home, 'dbt');
  await writeFile(dbt, '#!/bin/sh\necho "dbt $1"\n');
  await chmod(dbt, 0o755);
  await mkdir(join(home, 'shop'));
  await writeFile(join(home, 'shop', 'dbt_project.yml'), '{name: shop, profile: shop}');
  await c.seed.pool(pool);
  worker = await startRealWorker({ apiUrl: c.apiUrl, pool, home }, { FLOWS_DBT: dbt });
}, 120_000);
afterAll(async () => {
  await endStack(home, { worker });
  const names = { any_: ['run-one-task', 'print-message'] };
  for (const { id } of z
    .array(withId)
    .parse(await c.seed.call('POST', '/flows/filter', { flows: { name: names } })))
    await c.seed.call('DELETE', `/flows/${id}`);
  await rm(home, { recursive: true });
});

const withId = z.looseObject({ id: z.string() });
const task = {
  type: 'Shell Operation',
  slug: 'hello',
  seq: 1,
  commands: ['echo "from a clone"'],
  working_dir: '/tmp',
  env: {},
};
const named = { flow_name: 'f', flow_run_name: 'r' };

/** Runs a deployment to its end. @returns the state's name and the messages of its logs */
async function run(deploymentId: string) {
  const started = await c.host.post(`/proxy/deployments/${deploymentId}/flow_run`, {});
  const { flow_run_id: id } = z.object({ flow_run_id: z.string() }).parse(started.json);
  let reply;
  do reply = await c.host.get(`/proxy/v1/flow_runs/${id}/wait?timeout=60`);
  while (reply.headers['x-run-ended'] === 'false');
  const { state_name: state } = z.looseObject({ state_name: z.string() }).parse(reply.json);
  const logs = (await c.host.get(`/proxy/flow_runs/logs/${id}?limit=500`)).text;
  return { id, state, logs };
}

describe('Flows from a folder of a git repository', { timeout: 300_000 }, () => {
  it('run synchronous shell commands', async () => {
    const reply = await c.host.post('/proxy/flows/shell/run/', { ...task, ...named });
    expect([reply.status, reply.json]).toEqual([200, { status: 'success', result: ['from a clone'] }]);
  });

  it('run synchronous dbt commands', async () => {
    const block = c.seed.name('profile');
    const creds = { host: 'db', port: 5432, username: 'u', password: 'p', database: 'shop' };
    const secret = JSON.stringify({ wtype: 'postgres', default_schema: 'staging', creds });
    await c.host.post('/proxy/blocks/secret/', { blockName: block, secret });
    const reply = await c.host.post('/proxy/v1/flows/dbtcore/run/', {
      ...task,
      ...named,
      type: 'dbt Core Operation',
      slug: 'dbt-run',
      commands: ['dbt run'],
      working_dir: home,
      project_dir: join(home, 'shop'),
      profiles_dir: join(home, 'profiles'),
      cli_profile_block: block,
    });
    expect([reply.status, reply.json]).toEqual([200, { status: 'success', result: ['dbt run'] }]);
  });

  it('run pipelines, also after the host has switched the entrypoint and back', async () => {
    const made = await c.host.post('/proxy/v1/deployments/', {
      flow_name: 'pipeline',
      deployment_name: c.seed.name('pipeline'),
      org_slug: c.seed.name('org'),
      deployment_params: { config: { tasks: [task] } },
    });
    const { id } = z.object({ deployment: withId }).parse(made.json).deployment;
    expect(await run(id)).toMatchObject({ state: 'Completed' });

    const own = z
      .looseObject({ entrypoint: z.string() })
      .parse((await c.host.get(`/proxy/deployments/${id}`)).json).entrypoint;
    const switchTo = async (entrypoint: string) =>
      (await c.host.patch(`/proxy/v1/deployments/${id}/entrypoint`, { entrypoint })).status;
    expect(await switchTo('proxy/prefect_flows_runner.py:deployment_schedule_flow_v5')).toBe(200);
    const other = await run(id);
    expect(other.state).toBe('Completed');
    await expect
      .poll(async () => (await c.host.get(`/proxy/flow_runs/logs/${other.id}`)).text, { timeout: 30_000 })
      .toContain('the other flow runs 1 task');
    expect(await switchTo(own)).toBe(200);
    expect(await run(id)).toMatchObject({ state: 'Completed' });
    await c.host.delete(`/proxy/deployments/${id}`);
  });

  it('run examples', async () => {
    const { code } = await deployFlows(c.apiUrl, { only: ['print-message'], paused: true, pool }, FROM_GIT);
    expect(code).toBe(0);
    const { id } = withId.parse(await c.seed.call('GET', '/deployments/name/print-message/example'));
    expect(await run(id)).toMatchObject({ state: 'Completed' });
  });
});
