import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { FlowsDeployFlags } from '../../src/process/flows-deploy.js';
import { deployFlows, NAMES } from '../process/deploy-flows.js';
import { contract } from '../support/contract.js';

const c = contract();
let pool: string;
beforeAll(async () => {
  pool = await c.seed.pool();
});
afterEach(async () => {
  for (const { id } of rows.parse(
    await c.seed.call('POST', '/flows/filter', { flows: { name: { any_: NAMES } } }),
  )) {
    await c.seed.call('DELETE', `/flows/${id}`);
  }
});

const rows = z.array(z.looseObject({ id: z.string() }));
const deploy = (flags: Partial<FlowsDeployFlags> = {}, env: Record<string, string> = {}) =>
  deployFlows(c.apiUrl, flags, { DEFAULT_WORK_POOL_NAME: pool, FLOWS_PATH: '/srv/flows', ...env });

const deployment = z.looseObject({
  id: z.string(),
  paused: z.boolean(),
  schedules: z.array(z.looseObject({ id: z.string(), active: z.boolean() })),
});
const read = async (name: string) =>
  deployment.parse(await c.seed.call('GET', `/deployments/name/${name}/example`));
const readAll = () => Promise.all(NAMES.map(read));

describe('flows deploy', () => {
  it('makes a deployment of each example, every five minutes', async () => {
    const { code, lines } = await deploy();
    expect(code).toBe(0);
    const ids = (await readAll()).map(({ id }) => id);
    expect(lines.map((line) => line.split(/ +/).slice(0, 3))).toEqual(
      NAMES.map((name, index) => ['✓', `${name}/example`, ids[index]]),
    );
    expect(lines.every((line) => line.endsWith(' made; every 300 s'))).toBe(true);
    expect(await read('print-message')).toMatchObject({
      entrypoint: 'examples/print_message.py:print_message',
      pull_steps: [{ 'prefect.deployments.steps.set_working_directory': { directory: '/srv/flows' } }],
      paused: false,
      work_pool_name: pool,
      work_queue_name: 'ddp',
      enforce_parameter_schema: true,
      parameter_openapi_schema: { properties: { message: { type: 'string' } } },
      schedules: [{ active: true, schedule: { interval: 300 } }],
    });
  });

  it('changes nothing the second time', async () => {
    await deploy();
    const before = await readAll();
    c.mock?.reset();
    const { text, code } = await deploy();
    expect(code).toBe(0);
    expect(text.match(/left as it is; every 300 s/g)).toHaveLength(NAMES.length);
    for (const { path } of c.mock?.calls ?? []) expect(path).toBe('/deployments/filter');
    expect(await readAll()).toEqual(before);
  });

  it('mends what differs, and keeps the schedules that others added', async () => {
    await deploy();
    const { id } = await read('print-message');
    const other = {
      slug: 'nightly',
      schedule: { cron: '0 1 * * *' },
      active: true,
      parameters: { message: 'x' },
    };
    await c.seed.call('PATCH', `/deployments/${id}`, { entrypoint: 'old.py:f', schedules: [other] });
    const { lines } = await deploy({ interval: '60', queue: 'fast' });
    expect(lines[0]).toContain(`${id} changed: entrypoint, work_queue_name, schedules; every 60 s`);
    const now = await read('print-message');
    expect(now).toMatchObject({
      id,
      entrypoint: 'examples/print_message.py:print_message',
      work_queue_name: 'fast',
    });
    expect(now.schedules).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          ...other,
          schedule: expect.objectContaining({ cron: '0 1 * * *' }) as unknown,
        }),
        expect.objectContaining({
          active: true,
          schedule: expect.objectContaining({ interval: 60 }) as unknown,
        }),
      ]),
    );
    expect(now.schedules).toHaveLength(2);
  });

  it('--paused makes them without running them, and they stay paused until --no-paused', async () => {
    const off = { paused: true, schedules: [{ active: false }] };
    const on = { paused: false, schedules: [{ active: true }] };
    const only = ['print-message'];
    expect((await deploy({ paused: true })).text.match(/made; paused/g)).toHaveLength(NAMES.length);
    expect(await readAll()).toMatchObject(NAMES.map(() => off));
    expect((await deploy({ only })).text).toMatch(/left as it is; still paused, --no-paused resumes it$/);
    expect((await deploy({ only, interval: '60' })).text).toContain('changed: schedules; still paused');
    expect(await read('print-message')).toMatchObject(off);
    expect((await deploy({ only, interval: '60', paused: false })).text).toMatch(/resumed, every 60 s$/);
    expect(await read('print-message')).toMatchObject(on);
    expect((await deploy({ only, interval: '60', paused: true })).text).toMatch(/left as it is; paused$/);
    expect(await readAll()).toMatchObject(NAMES.map(() => off));
  });

  it('deploys those that --only names, where and from where it is told', async () => {
    const other = await c.seed.pool(c.seed.name('other'));
    const env = { FLOWS_GIT_URL: 'https://git.example/x.git', FLOWS_ENTRYPOINT: 'flows/pipeline.py:f' };
    const { lines } = await deploy({ only: ['check-file-names'], pool: other }, env);
    expect(lines).toHaveLength(1);
    expect(await read('check-file-names')).toMatchObject({
      entrypoint: 'flows/examples/check_file_names.py:check_file_names',
      pull_steps: [
        { 'prefect.deployments.steps.git_clone': { repository: env.FLOWS_GIT_URL, branch: 'main' } },
      ],
      work_pool_name: other,
    });
    await expect(read('print-message')).rejects.toThrow('404');
  });

  it('leaves a deployment of the same name that others made', async () => {
    const flow = z
      .object({ id: z.string() })
      .parse(await c.seed.call('POST', '/flows/', { name: 'print-message' }));
    await c.seed.call('POST', '/deployments/', {
      name: 'example',
      flow_id: flow.id,
      entrypoint: 'mine.py:f',
    });
    const { code, text } = await deploy();
    expect(code).toBe(1);
    expect(text).toMatch(/^✗ print-message\/example .*that this command did not make$/);
    expect(await read('print-message')).toMatchObject({ entrypoint: 'mine.py:f', schedules: [] });
  });
});
