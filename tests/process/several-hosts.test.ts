import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Host } from '../support/host.js';
import { startMockOrchestrator, type MockOrchestrator } from '../support/mock/index.js';
import { buildProgram, Program } from '../support/program.js';
import { COMPLETED, Seed } from '../support/seed.js';
import { startFakeHost, type FakeHost } from '../support/settlement/fake-host.js';
import { holder } from '../support/settlement/things.js';

let built: Awaited<ReturnType<typeof buildProgram>>;
let mock: MockOrchestrator;
let seed: Seed;
let hosts: FakeHost[];
const programs: Program[] = [];
beforeAll(async () => {
  built = await buildProgram();
});
afterAll(() => built.remove());
beforeEach(async () => {
  mock = await startMockOrchestrator();
  seed = new Seed(mock.url);
  hosts = [await startFakeHost(), await startFakeHost()];
});
afterEach(async () => {
  await Promise.all(programs.splice(0).map((program) => program.end()));
  for (const host of hosts) await host.close();
  await mock.close();
});

/** A facade in a process of its own. */
async function start(env: Record<string, string> = {}) {
  const program = new Program({
    file: built.file,
    args: ['serve'],
    cwd: '/tmp',
    env: {
      PREFECT_API_URL: mock.url,
      RECONCILE_INTERVAL: '1',
      WEB_CONCURRENCY: '1',
      PREFECT_PROXY_API_HOST: `unix:/tmp/several-hosts-${process.pid}-${programs.length}.sock`,
      ...env,
    },
  });
  programs.push(program);
  await program.logged('listening');
  return program;
}
const told = (host: FakeHost, id: string) => host.posts.some(({ text }) => text.includes(id));
const end = () => holder(seed, { states: [COMPLETED] });
const PATIENCE = { timeout: 15_000, interval: 50 };

describe('Facades in processes of their own', () => {
  it('one without a host beside one whose host is down: all are told when it is back', async () => {
    hosts[0]!.answer = () => 500;
    const hostless = await start();
    await hostless.logged('reconciler');
    await start({ HOST_WEBHOOK_URL: hosts[0]!.url });
    const ids = await Promise.all([1, 2, 3, 4, 5, 6].map(end));
    for (const id of ids) await expect.poll(() => told(hosts[0]!, id), PATIENCE).toBe(true);
    hosts[0]!.posts.length = 0;
    hostless.signal('SIGTERM');
    await hostless.closed;
    hosts[0]!.answer = () => 200;
    for (const id of ids) await expect.poll(() => told(hosts[0]!, id), PATIENCE).toBe(true);
  });

  it('two names: both hosts hear everything', async () => {
    await start({ HOST_WEBHOOK_URL: hosts[0]!.url });
    const second = await start({ HOST_WEBHOOK_URL: hosts[1]!.url, HOST_WEBHOOK_NAME: 'second' });
    await second.logged('reconciler');
    const ids = await Promise.all([1, 2, 3, 4, 5, 6].map(end));
    for (const host of hosts)
      for (const id of ids) await expect.poll(() => told(host, id), PATIENCE).toBe(true);
  });

  it('one name and two URLs: the second stands by, and says so in /readyz of each worker, until the first ends', async () => {
    const first = await start({ HOST_WEBHOOK_URL: hosts[0]!.url });
    await first.logged('reconciler');
    await expect.poll(async () => seed.call('GET', VARIABLE).catch(() => undefined), PATIENCE).toBeDefined();
    const port = '0';
    const second = await start({
      HOST_WEBHOOK_URL: hosts[1]!.url,
      WEB_CONCURRENCY: '2',
      PREFECT_PROXY_API_HOST: '127.0.0.1',
      PREFECT_PROXY_API_PORT: port,
    });
    await second.logged('this instance delivers nothing');
    const caller = new Host(String((await second.logged('listening'))[0]!['url']));
    const warnings = {
      status: 'ok',
      warnings: [expect.stringContaining('another HOST_WEBHOOK_URL') as string],
    };
    await expect.poll(async () => (await caller.get('/readyz')).json, PATIENCE).toEqual(warnings);
    expect((await caller.get('/metrics')).text).toContain('prefect_proxy_delivery_standby 1');
    const recover = await caller.post('/proxy/v1/deliveries/recover', { since: '2026-01-01' });
    expect(recover).toMatchObject({ status: 503, json: { code: 'not_configured' } });

    const one = await end();
    await expect.poll(() => told(hosts[0]!, one), PATIENCE).toBe(true);
    expect(hosts[1]!.posts).toEqual([]);
    first.signal('SIGTERM');
    await first.closed;
    const two = await end();
    await expect.poll(() => told(hosts[1]!, two), PATIENCE).toBe(true);
    expect(told(hosts[1]!, one)).toBe(false);
    expect(told(hosts[0]!, two)).toBe(false);
    await expect.poll(async () => (await caller.get('/readyz')).json, PATIENCE).toEqual({ status: 'ok' });
    await caller.close();
  });
});

const VARIABLE = '/variables/name/prefect_proxy_reconciler';
