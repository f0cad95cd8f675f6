import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { request } from 'undici';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createApp } from '../../src/app.js';
import { loadConfig } from '../../src/config.js';
import { createClient } from '../../src/create-client.js';
import { contract } from '../support/contract.js';
import { startFacade, type Facade } from '../support/facade.js';
import { Host, type SendOptions } from '../support/host.js';
import { COMPLETED, FAILED, RUNNING, type StateInput } from '../support/seed.js';

/** Workers of another kind: the tests themselves do what a worker would. */
const pool = `sync-${randomUUID().slice(0, 8)}`;
const QUEUE = 'ddp';
const c = contract({ DEFAULT_WORK_POOL_NAME: pool });
const SHELL = '/proxy/flows/shell/run/';
const DBT = '/proxy/v1/flows/dbtcore/run/';

beforeAll(async () => {
  await c.seed.pool(pool);
});
const ending: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0)) await end();
});

const isLive = process.env['PREFECT_VERSION_UNDER_TEST'] !== undefined;
const slugs = () => `s-${randomUUID().slice(0, 8)}`;
const shell = (slug: string) => ({
  type: 'Shell Operation',
  slug,
  commands: ['echo a', 'echo b'],
  working_dir: '/tmp',
  env: { N: '1' },
  flow_name: 'f',
  flow_run_name: 'r',
});
const dbt = (slug: string) => ({
  ...shell(slug),
  type: 'dbt Core Operation',
  profiles_dir: '/p/profiles',
  project_dir: '/p',
  commands: ['dbt run'],
  cli_profile_block: 'acme-profile',
  cli_args: ['--quiet'],
});

const run = z.looseObject({
  id: z.string(),
  state_type: z.string(),
  parameters: z.object({ task: z.looseObject({ slug: z.string() }) }),
});
const OURS = { flows: { name: { any_: ['run-one-task'] } } };
async function runsOf(slug: string) {
  const body = { ...OURS, sort: 'EXPECTED_START_TIME_DESC' };
  const found = z.array(run).parse(await c.seed.call('POST', '/flow_runs/filter', body));
  return found.filter(({ parameters }) => parameters.task.slug === slug);
}
/** The run that a host has asked for and waits for. */
async function runOf(slug: string) {
  await expect.poll(async () => (await runsOf(slug)).length, { timeout: 10_000, interval: 20 }).toBe(1);
  const [found] = await runsOf(slug);
  return run.parse(found);
}
async function stateOf(id: string) {
  return run.parse(await c.seed.call('GET', `/flow_runs/${id}`)).state_type;
}
/** Does what a worker does with a run. @returns its id */
async function work(slug: string, state: StateInput, result?: unknown) {
  const { id } = await runOf(slug);
  await c.seed.setState('flow_runs', id, RUNNING);
  if (result !== undefined) await c.seed.result(id, [{ seq: 1, state_type: 'COMPLETED', result }]);
  await c.seed.setState('flow_runs', id, state);
  return id;
}
async function another(env: Record<string, string>): Promise<{ facade: Facade; host: Host }> {
  const facade = await startFacade(c.apiUrl, { DEFAULT_WORK_POOL_NAME: pool, ...env });
  const host = new Host(facade.url);
  ending.push(async () => {
    await host.close();
    await facade.close();
  });
  return { facade, host };
}
const now: SendOptions = { headers: { prefer: 'wait=0' } };
const deployments = async () =>
  z
    .array(z.looseObject({ id: z.string(), name: z.string() }))
    .parse(await c.seed.call('POST', '/deployments/filter', OURS));

describe('POST /proxy/flows/shell/run/', () => {
  it('answers when the run is over, with the lines of its output', async () => {
    const slug = slugs();
    const reply = c.host.post(SHELL, shell(slug));
    const { parameters } = await runOf(slug);
    const id = await work(slug, COMPLETED, ['a', 'b']);
    const { status, headers, text } = await reply;
    expect({ status, text }).toEqual({ status: 200, text: '{"status":"success","result":["a","b"]}' });
    expect(headers['x-flow-run-id']).toBe(id);
    expect(parameters).toEqual({ task: shell(slug) });
  });

  it.each([FAILED, { type: 'CRASHED', name: 'Crashed' }, { type: 'FAILED', name: 'TimedOut' }])(
    '400 when it ends as $name, with what went wrong',
    async (state) => {
      const slug = slugs();
      const reply = c.host.post(SHELL, shell(slug));
      const { id: flowRunId } = await runOf(slug);
      const lines = Array.from({ length: 25 }, (_, at) => ({
        flowRunId,
        message: `line ${at}`,
        level: at === 24 ? 40 : 20,
        at,
      }));
      const own = [
        'Finished in state Failed()',
        'Engine execution exited with unexpected exception\nTraceback',
      ];
      await c.seed.logs([...lines, ...own.map((message) => ({ flowRunId, message, level: 40, at: 30 }))]);
      await work(slug, { ...state, message: 'command 1 exited with 3' });
      const { status, headers, json } = await reply;
      expect({ status, run: headers['x-flow-run-id'] }).toEqual({ status: 400, run: flowRunId });
      expect(json).toMatchObject({
        detail: 'failed to run shell operation flow',
        code: 'bad_request',
        upstream: {
          flow_run_id: flowRunId,
          state_type: state.type,
          state_name: state.name,
          message: 'command 1 exited with 3',
          logs: lines.slice(5).map(({ message, level }) => ({ level, message })),
        },
      });
    },
  );

  it('cuts a long line of the logs between two characters', async () => {
    const slug = slugs();
    const reply = c.host.post(SHELL, shell(slug));
    const { id: flowRunId } = await runOf(slug);
    const message = `${'x'.repeat(1_999)}${'😀'.repeat(10)}`;
    await c.seed.logs([{ flowRunId, message, level: 40 }]);
    await work(slug, FAILED);
    expect((await reply).json).toMatchObject({
      upstream: { logs: [{ message: `${'x'.repeat(1_999)}😀` }] },
    });
  });

  it('502 when it completes and leaves no result', async () => {
    const slug = slugs();
    const reply = c.host.post(SHELL, shell(slug));
    const id = await work(slug, COMPLETED);
    expect(await reply).toMatchObject({
      status: 502,
      headers: { 'x-flow-run-id': id },
      json: { code: 'orchestrator_failed', detail: `flow run ${id} completed and left no result` },
    });
  });

  it.skipIf(isLive)('502 when its result cannot be read; the run is named', async () => {
    const slug = slugs();
    c.mock?.fault(({ path }) => (path === '/artifacts/filter' ? { status: 500 } : undefined));
    const reply = c.host.post(SHELL, shell(slug));
    const id = await work(slug, COMPLETED, []);
    expect(await reply).toMatchObject({
      status: 502,
      headers: { 'x-flow-run-id': id },
      json: { detail: 'failed to run shell operation flow' },
    });
    c.mock?.reset();
  });
});

describe('POST /proxy/v1/flows/dbtcore/run/', () => {
  it("passes the profile's block on, and any result", async () => {
    const slug = slugs();
    const reply = c.host.post(DBT, dbt(slug));
    const { parameters } = await runOf(slug);
    await work(slug, { type: 'COMPLETED', name: 'DBT_TEST_FAILED' }, ['Done. 1.50']);
    expect(await reply).toMatchObject({ status: 200, text: '{"status":"success","result":["Done. 1.50"]}' });
    expect(parameters.task).toEqual({
      ...dbt(slug),
      env: { N: '1', 'dbt-profile-secret-block': 'acme-profile' },
    });
  });

  it('400 names the task', async () => {
    const slug = slugs();
    const reply = c.host.post(DBT, dbt(slug));
    const { id: flowRunId } = await runOf(slug);
    await c.seed.logs([{ flowRunId, message: 'oh', level: 50 }]);
    await work(slug, FAILED);
    expect(await reply).toMatchObject({
      status: 400,
      json: { detail: `failed to run dbt core flow ${slug}`, upstream: { message: null } },
    });
  });
});

describe('The deployment', () => {
  it('is one, however many come first, here and elsewhere', async () => {
    const flow = z.looseObject({ id: z.string() });
    for (const { id } of z.array(flow).parse(await c.seed.call('POST', '/flows/filter', OURS)))
      await c.seed.call('DELETE', `/flows/${id}`);
    // A real server's SQLite is locked for some time by so many.
    const patient = { PREFECT_API_RETRY_DELAY: '0.3', PREFECT_API_TIMEOUT: '60' };
    const hosts = await Promise.all([another(patient), another(patient)]);
    const slug = slugs();
    const replies = await Promise.all(
      Array.from({ length: 25 }, () => hosts.map(({ host }) => host.post(SHELL, shell(slug), now))).flat(),
    );
    expect(replies.map((reply) => reply.status)).toEqual(replies.map(() => 202));
    expect(new Set(replies.map((reply) => reply.headers['x-flow-run-id'])).size).toBe(50);
    expect(await deployments()).toMatchObject([
      {
        name: 'prefect-proxy-sync-runs',
        entrypoint: 'sync_runs.py:run_one_task',
        work_pool_name: pool,
        work_queue_name: QUEUE,
      },
    ]);
  });

  it('is made again where somebody deleted it', async () => {
    expect((await c.host.post(SHELL, shell(slugs()), now)).status).toBe(202);
    for (const { id } of await deployments()) await c.seed.call('DELETE', `/deployments/${id}`);
    expect((await c.host.post(SHELL, shell(slugs()), now)).status).toBe(202);
    expect(await deployments()).toHaveLength(1);
  });

  it('503 where its work pool does not exist, until it does', async () => {
    const name = `${pool}-later`;
    const { host } = await another({ DEFAULT_WORK_POOL_NAME: name });
    const reply = await host.post(DBT, dbt('x'), now);
    expect(reply).toMatchObject({
      status: 503,
      json: {
        code: 'not_configured',
        detail: `the work pool ${name} does not exist (DEFAULT_WORK_POOL_NAME)`,
      },
    });
    await c.seed.pool(name);
    expect((await host.post(DBT, dbt('x'), now)).status).toBe(202);
    // Where the other tests look for it.
    await (await another({})).host.post(DBT, dbt('x'), now);
  });
});

describe('Workers', () => {
  it('nobody there: a warning, which is gone when somebody is', async () => {
    const { facade, host } = await another({});
    const warnings = () => facade.lines.filter(({ message }) => message.includes('without a worker'));
    const warned = await host.post(SHELL, shell(slugs()), now);
    const text = `no online worker polls the queue ${QUEUE} of the pool ${pool}`;
    expect(warned).toMatchObject({ status: 202, headers: { 'x-warning': text } });
    expect(warnings()).toEqual([
      expect.objectContaining({
        level: 'warn',
        flow_run: warned.headers['x-flow-run-id'],
        warning: text,
      }),
    ]);
    await c.seed.call('POST', `/work_pools/${pool}/workers/heartbeat`, { name: 'w' });
    await c.seed.call('POST', `/work_pools/${pool}/get_scheduled_flow_runs`, { work_queue_names: [QUEUE] });
    await expect
      .poll(async () => (await host.post(SHELL, shell(slugs()), now)).headers['x-warning'], {
        timeout: 10_000,
      })
      .toBeUndefined();
  });

  it('503 where nobody starts it in time; it never runs', async () => {
    const { host } = await another({ SYNC_RUN_START_TIMEOUT: '0.2' });
    const slug = slugs();
    const { status, headers, json } = await host.post(SHELL, shell(slug));
    const { id } = await runOf(slug);
    expect(status).toBe(503);
    expect(headers).toMatchObject({ 'x-flow-run-id': id, 'retry-after': '30' });
    expect(json).toMatchObject({
      code: 'orchestrator_unavailable',
      detail: `flow run ${id} was not started within 0.2 s: cancelled`,
      upstream: { flow_run_id: id },
    });
    expect(await stateOf(id)).toBe('CANCELLED');
  });

  it('a run that was started in time goes on', async () => {
    const { host } = await another({ SYNC_RUN_START_TIMEOUT: '1' });
    const slug = slugs();
    const reply = host.post(SHELL, shell(slug));
    const { id } = await runOf(slug);
    await c.seed.setState('flow_runs', id, RUNNING);
    // Longer than its start may take.
    await host.get(`/proxy/v1/flow_runs/${id}/wait?timeout=1.2`);
    await work(slug, COMPLETED, []);
    expect(await reply).toMatchObject({ status: 200, json: { status: 'success', result: [] } });
  });
});

describe('A run that takes long', () => {
  it.each([
    ['runs', RUNNING],
    ['waits for a worker', undefined],
  ])('504 names it, and it goes on: it %s', async (_what, state) => {
    const { host } = await another({ SYNC_RUN_TIMEOUT: '1' });
    const slug = slugs();
    const reply = host.post(SHELL, shell(slug));
    const { id } = await runOf(slug);
    if (state) await c.seed.setState('flow_runs', id, state);
    expect(await reply).toMatchObject({
      status: 504,
      headers: { 'x-flow-run-id': id },
      json: {
        code: 'orchestrator_timeout',
        detail: `flow run ${id} has not ended within 1 s`,
        upstream: { flow_run_id: id },
      },
    });
    expect(await stateOf(id)).toBe(state ? 'RUNNING' : 'SCHEDULED');
  });

  it.each(['wait=0', 'respond-async, wait=0', 'foo; bar, WAIT = "0"'])(
    '%s: 202 says where to go on waiting',
    async (prefer) => {
      const slug = slugs();
      const reply = await c.host.post(SHELL, shell(slug), { headers: { prefer } });
      const { id } = await runOf(slug);
      expect(reply).toMatchObject({ status: 202, headers: { 'x-flow-run-id': id } });
      expect(reply.json).toEqual({ status: 'running', flow_run_id: id });
      const onward = c.host.get(String(reply.headers['location']));
      await work(slug, COMPLETED, ['a']);
      expect(await onward).toMatchObject({ status: 200, headers: { 'x-run-ended': 'true' } });
      expect((await c.host.get(`/proxy/v1/flow_runs/${id}/result`)).json).toMatchObject({
        tasks: [{ result: ['a'] }],
      });
    },
  );

  it.each(['wait=60', 'wait=soon', 'await=0', 'wait=-1'])('%s is waited for', async (prefer) => {
    const slug = slugs();
    const reply = c.host.post(SHELL, shell(slug), { headers: { prefer } });
    await work(slug, COMPLETED, ['a']);
    expect((await reply).status).toBe(200);
  });

  it('goes on when the host hangs up', async () => {
    const slug = slugs();
    const gone = new AbortController();
    const { facade } = c;
    const reply = request(facade.url + SHELL, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(shell(slug)),
      signal: gone.signal,
    });
    const { id } = await runOf(slug);
    gone.abort();
    await expect(reply).rejects.toThrow();
    const line = () => facade.lines.find(({ message, status }) => message === 'request' && status === 499);
    await expect.poll(line, { timeout: 5_000 }).toMatchObject({ route: SHELL });
    expect(await stateOf(id)).toBe('SCHEDULED');
  });

  it('goes on when this service ends; the host is told at once', async () => {
    const closing = new AbortController();
    const config = { ...loadConfig({ DEFAULT_WORK_POOL_NAME: pool }), PREFECT_API_URL: c.apiUrl };
    const logger = { info: () => {}, warn: () => {}, error: () => {}, close: () => Promise.resolve() };
    const client = createClient(config, c.apiUrl);
    const app = createApp({ config, client, logger, hint: () => {}, closing: closing.signal });
    const listener = getRequestListener(app.fetch);
    const server = createServer((incoming, outgoing) => void listener(incoming, outgoing));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const host = new Host(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const slug = slugs();
    const reply = host.post(SHELL, shell(slug));
    const { id } = await runOf(slug);
    closing.abort();
    expect(await reply).toMatchObject({
      status: 503,
      headers: { 'x-flow-run-id': id, 'retry-after': '1' },
      json: { code: 'shutting_down', upstream: { flow_run_id: id } },
    });
    expect(await stateOf(id)).toBe('SCHEDULED');
    await host.close();
    server.close();
    await client.close();
  });
});

describe('Idempotency-Key', () => {
  it('is one run, which all wait for', async () => {
    const headers = { 'idempotency-key': randomUUID() };
    const slug = slugs();
    const replies = [1, 2, 3].map(() => c.host.post(SHELL, shell(slug), { headers }));
    const id = await work(slug, COMPLETED, ['a']);
    replies.push(c.host.post(SHELL, shell(slug), { headers }));
    for (const reply of await Promise.all(replies))
      expect(reply).toMatchObject({
        status: 200,
        headers: { 'x-flow-run-id': id },
        json: { result: ['a'] },
      });
    expect(await runsOf(slug)).toHaveLength(1);
    const other = await c.host.post(SHELL, shell(slugs()), { headers });
    expect(other).toMatchObject({ status: 422, json: { code: 'validation_failed' } });
  });

  it('does not find a run that nobody started: who asks again gets a new one', async () => {
    const { host } = await another({ SYNC_RUN_START_TIMEOUT: '0.2' });
    const block = randomUUID();
    const headers = {
      'idempotency-key': randomUUID(),
      'x-cleanup-resources': JSON.stringify({ block_documents: [block] }),
    };
    const slug = slugs();
    const asked = async () => {
      const { status, headers: got } = await host.post(SHELL, shell(slug), { headers });
      expect(status).toBe(503);
      return String(got['x-flow-run-id']);
    };
    const lost = [await asked(), await asked()];
    expect(new Set(lost).size).toBe(2);
    const replies = [1, 2, 3].map(() => c.host.post(SHELL, shell(slug), { headers }));
    const fresh = async () => (await runsOf(slug)).filter(({ state_type: type }) => type !== 'CANCELLED');
    await expect.poll(fresh, { timeout: 10_000, interval: 20 }).toHaveLength(1);
    const id = (await fresh())[0]?.id ?? '';
    await c.seed.setState('flow_runs', id, RUNNING);
    await c.seed.result(id, [{ seq: 1, state_type: 'COMPLETED', result: ['a'] }]);
    await c.seed.setState('flow_runs', id, COMPLETED);
    replies.push(c.host.post(SHELL, shell(slug), { headers }));
    for (const reply of await Promise.all(replies))
      expect(reply).toMatchObject({ status: 200, headers: { 'x-flow-run-id': id } });
    expect(await runsOf(slug)).toHaveLength(3);
    // What they hold is the last one's to give up.
    expect(await Promise.all([...lost, id].map(holds))).toEqual([false, false, true]);
    async function holds(one: string) {
      const { labels } = z
        .object({ labels: z.record(z.string(), z.unknown()) })
        .parse(await c.seed.call('GET', `/flow_runs/${one}`));
      return String(labels['prefect-proxy.cleanup']).includes(block);
    }
  });

  it('finds a run that somebody else cancelled', async () => {
    const headers = { 'idempotency-key': randomUUID() };
    const slug = slugs();
    const reply = c.host.post(SHELL, shell(slug), { headers });
    const id = await work(slug, { type: 'CANCELLED', name: 'Cancelled' });
    for (const one of [await reply, await c.host.post(SHELL, shell(slug), { headers })])
      expect(one).toMatchObject({ status: 400, headers: { 'x-flow-run-id': id } });
  });
});

describe('Bodies', () => {
  const without = (key: string) =>
    Object.fromEntries(Object.entries(dbt('x')).filter(([name]) => name !== key));
  const cases: [string, object, string, string][] = [
    ...Object.keys(dbt('x'))
      .filter((key) => key !== 'cli_args')
      .map((key) => [DBT, without(key), 'missing', key] satisfies [string, object, string, string]),
    [DBT, { ...dbt('x'), commands: 'dbt run' }, 'list_type', 'commands'],
    [DBT, { ...dbt('x'), commands: null }, 'list_type', 'commands'],
    [DBT, { ...dbt('x'), cli_args: {} }, 'list_type', 'cli_args'],
    [DBT, { ...dbt('x'), profiles_dir: 1 }, 'string_type', 'profiles_dir'],
    [SHELL, { ...shell('x'), commands: { 0: 'ls' } }, 'list_type', 'commands'],
    [SHELL, { ...shell('x'), env: [] }, 'dict_type', 'env'],
    [SHELL, { ...shell('x'), slug: null }, 'string_type', 'slug'],
    [SHELL, { ...shell('x'), commands: [2 ** 65] }, 'int_parsing_size', 'commands'],
  ];
  it.each(cases)('%#: %s is 422', async (path, body, type, key) => {
    const reply = await c.host.post(path, body);
    expect(reply.status).toBe(422);
    expect(reply.json).toMatchObject({ detail: [{ type, loc: ['body', key] }] });
  });
});

describe('An outage while a host waits', () => {
  it.skipIf(isLive)('is sat out, also when the start is due', async () => {
    const { host } = await another({ SYNC_RUN_START_TIMEOUT: '1', PREFECT_API_RETRY: 'false' });
    const slug = slugs();
    const reply = host.post(SHELL, shell(slug));
    const { id } = await runOf(slug);
    let refused = 0;
    c.mock?.fault(({ path }) => {
      if (path !== `/flow_runs/${id}` && path !== '/artifacts/filter') return undefined;
      refused += 1;
      return refused > 4 ? undefined : { status: 503 };
    });
    c.mock?.events.cut();
    await expect.poll(() => refused, { timeout: 10_000 }).toBeGreaterThan(1);
    await c.seed.setState('flow_runs', id, RUNNING);
    await expect.poll(() => refused, { timeout: 20_000 }).toBeGreaterThan(4);
    await work(slug, COMPLETED, ['a']);
    expect(await reply).toMatchObject({ status: 200, json: { result: ['a'] } });
    c.mock?.reset();
  });
});

describe('Whether a host hears of the end of a synchronous run', () => {
  const notified = async (send: Host, headers: Record<string, string> = {}) => {
    const slug = slugs();
    const reply = await send.post(SHELL, shell(slug), { headers: { prefer: 'wait=0', ...headers } });
    expect(reply.status, reply.text).toBe(202);
    const { id } = await runOf(slug);
    const { labels } = (await c.seed.call('GET', `/flow_runs/${id}`)) as { labels: Record<string, unknown> };
    return labels['prefect-proxy.notify'] !== 'false';
  };

  it('it does not: its caller has the answer', async () => {
    expect(await notified(c.host)).toBe(false);
    expect(await notified(c.host, { 'x-notify': 'true' })).toBe(false);
  });

  it('it does with HOST_WEBHOOK_SYNC_RUNS=true, unless the caller says X-Notify: false', async () => {
    const { host } = await another({ HOST_WEBHOOK_SYNC_RUNS: 'true' });
    expect(await notified(host)).toBe(true);
    expect(await notified(host, { 'x-notify': 'false' })).toBe(false);
  });
});
