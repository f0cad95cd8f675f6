import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { loadConfig } from '../src/config.js';
import type { Logger, LogFields } from '../src/logger.js';
import { runWebhookCommand, type WebhookCommand } from '../src/process/webhook-command.js';
import { createClient } from '../src/create-client.js';
import { registerWebhook } from '../src/services/webhook-start.js';
import { webhookTarget } from '../src/services/webhook-target.js';
import { startMockOrchestrator, type MockOptions, type MockOrchestrator } from './support/mock/index.js';
import { startReceiver, type Receiver } from './support/receiver.js';

const KEY = 'canary-key';
const NAME = 'prefect-proxy-webhook';

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.close()));
});

async function start(options: MockOptions = {}): Promise<{ mock: MockOrchestrator; receiver: Receiver }> {
  const [mock, receiver] = [await startMockOrchestrator(options), await startReceiver()];
  open.push(mock, receiver);
  return { mock, receiver };
}

function configOf(env: Record<string, string>) {
  const config = loadConfig({
    PREFECT_NOTIFICATIONS_WEBHOOK_KEY: KEY,
    PREFECT_API_RETRY: 'false',
    PREFECT_API_TIMEOUT: '5',
    WEBHOOK_AUTO_REGISTER: 'true',
    ...env,
  });
  return { ...config, PREFECT_API_URL: config.PREFECT_API_URL ?? 'http://127.0.0.1:1/api' };
}

describe('The URL that Prefect is given', () => {
  const urlOf = (env: Record<string, string>, facadeUrl = 'http://127.0.0.1:8080') =>
    webhookTarget(configOf(env), facadeUrl).url;

  it.each([
    [{}, 'http://127.0.0.1:8080', 'http://127.0.0.1:8080'],
    [{ PREFECT_API_URL: 'http://localhost:4200/api' }, 'http://[::1]:80', 'http://[::1]'],
    [{ PREFECT_API_URL: 'http://prefect:4200/api' }, 'http://10.0.0.5:8080', 'http://10.0.0.5:8080'],
    [{ WEBHOOK_PUBLIC_URL: 'https://proxy.example/' }, 'http://0.0.0.0:8080', 'https://proxy.example'],
    [{ WEBHOOK_PUBLIC_URL: 'https://x.example/a' }, 'unix:/run/proxy', 'https://x.example/a'],
    [{ WEBHOOK_PUBLIC_URL: 'https://x.example/webhooks/v1/notification/' }, '', 'https://x.example'],
    [
      { PREFECT_API_URL: 'http://prefect:4200/api', WEBHOOK_PUBLIC_URL: 'http://127.0.0.1:9' },
      '',
      'http://127.0.0.1:9',
    ],
  ])('%j and a facade on %s: %s', (env, facadeUrl, expected) => {
    expect(urlOf(env, facadeUrl)).toBe(`${expected}/webhooks/v1/notification/`);
  });

  it.each([
    ['http://0.0.0.0:8080', {}],
    ['http://[::]:8080', {}],
    ['unix:/run/proxy.sock', {}],
    ['http://127.0.0.1:8080', { PREFECT_API_URL: 'http://prefect.internal:4200/api' }],
  ])('cannot be told for a facade on %s with %j', (facadeUrl, env) => {
    expect(() => urlOf(env, facadeUrl)).toThrow(/set WEBHOOK_PUBLIC_URL/);
  });

  it.each([
    [{ PREFECT_NOTIFICATIONS_WEBHOOK_KEY: '' }, /PREFECT_NOTIFICATIONS_WEBHOOK_KEY is not set/],
    [{ PREFECT_NOTIFICATIONS_WEBHOOK_KEY: 'canary-é' }, /plain ASCII/],
    [{ WEBHOOK_PUBLIC_URL: 'http://me:canary@proxy.example' }, /credentials/],
  ])('needs a usable configuration: %j', (env, expected) => {
    expect(() => urlOf(env)).toThrow(expected);
    expect(() => urlOf(env)).not.toThrow(/canary/);
  });

  it('comes with the first of several keys', () => {
    const config = configOf({ PREFECT_NOTIFICATIONS_WEBHOOK_KEY: ' new , old ' });
    expect(webhookTarget(config, 'http://127.0.0.1:1').key).toBe('new');
  });
});

describe('At the start', () => {
  async function registered(env: Record<string, string>, facadeUrl: string, signal?: AbortSignal) {
    const lines: { message: string; fields: LogFields }[] = [];
    const write = (message: string, fields: LogFields = {}) => void lines.push({ message, fields });
    const logger: Logger = { info: write, warn: write, error: write, close: () => Promise.resolve() };
    const config = configOf(env);
    const client = createClient(config, config.PREFECT_API_URL);
    await registerWebhook({ config, client, facadeUrl, logger, ...(signal && { signal }) });
    await client.close();
    expect(JSON.stringify(lines)).not.toContain('canary');
    return lines;
  }

  it('it is registered, and said so', async () => {
    const { mock, receiver } = await start();
    const lines = await registered({ PREFECT_API_URL: mock.url }, receiver.url);
    const url = `${receiver.url}/webhooks/v1/notification/`;
    expect(lines.map(({ message, fields }) => [message, fields['url']])).toEqual([
      ['webhook: block document made', url],
      ['webhook: automation made', url],
    ]);
    expect(mock.unexpected).toEqual([]);
  });

  it('an orchestrator that is not there yet is waited for', async () => {
    const { mock, receiver } = await start();
    let refusals = 1;
    mock.fault(() => (refusals-- > 0 ? { status: 503, body: '{}' } : undefined));
    const lines = await registered({ PREFECT_API_URL: mock.url }, receiver.url);
    expect(lines.map(({ message }) => message)).toEqual([
      'webhook not registered',
      'webhook: block document made',
      'webhook: automation made',
    ]);
    expect(lines[0]!.fields).toEqual({ reason: 'orchestrator: status 503', retry_in_ms: 1000 });
  });

  it('the wait ends when the facade does', async () => {
    const ending = new AbortController();
    const waiting = registered({}, 'http://127.0.0.1:8080', ending.signal);
    ending.abort();
    const lines = await waiting;
    expect(lines.length).toBeLessThanOrEqual(1);
  });

  it.each([
    [{ PREFECT_NOTIFICATIONS_WEBHOOK_KEY: '' }, 'PREFECT_NOTIFICATIONS_WEBHOOK_KEY is not set'],
    [{ PREFECT_API_URL: 'http://prefect.internal/api' }, 'set WEBHOOK_PUBLIC_URL'],
  ])('%j: it is not registered, and the line says what to do', async (env, reason) => {
    const lines = await registered(env, 'http://127.0.0.1:8080');
    expect(lines.map(({ message }) => message)).toEqual(['webhook not registered']);
    expect(lines[0]!.fields['reason']).toContain(reason);
    expect(lines[0]!.fields['retry_in_ms']).toBeUndefined();
  });

  it('refused credentials are told once', async () => {
    const { mock, receiver } = await start({ authString: 'a:b' });
    const lines = await registered({ PREFECT_API_URL: mock.url }, receiver.url);
    expect(lines.map(({ fields }) => fields['reason'])).toEqual(['orchestrator: status 401']);
  });
});

describe('The commands', () => {
  const said: string[] = [];
  afterEach(() => {
    expect(said.splice(0).join('\n')).not.toContain('canary');
  });
  async function command(name: WebhookCommand, env: Record<string, string>) {
    const lines: string[] = [];
    const code = await runWebhookCommand(name, {
      config: configOf(env),
      root: '/nowhere',
      say: (line) => lines.push(line),
    });
    said.push(...lines);
    return { code, text: lines.join('\n').replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, '<id>') };
  }

  it('register, show and unregister', async () => {
    const { mock, receiver } = await start();
    const env = { PREFECT_API_URL: mock.url, WEBHOOK_PUBLIC_URL: receiver.url };
    const url = `webhook              ${receiver.url}/webhooks/v1/notification/`;
    const before = await command('status', env);
    expect(before.code).toBe(1);
    expect(before.text).toContain(`✗ not registered: there is no automation ${NAME}`);
    expect(await command('register', env)).toEqual({
      code: 0,
      text: `${url}\nblock document       <id> made\nautomation           <id> made`,
    });
    expect(await command('status', env)).toEqual({
      code: 0,
      text: `${url}\nblock                <id>\nautomation           <id>\n✓ registered, switched on, reachable from here`,
    });
    const rotated = await command('status', { ...env, PREFECT_NOTIFICATIONS_WEBHOOK_KEY: 'canary-2' });
    expect([rotated.code, rotated.text.split('\n').at(-1)]).toEqual([
      1,
      '✗ the block document differs in secrets.key',
    ]);
    expect(await command('unregister', env)).toEqual({
      code: 0,
      text: 'automation           <id> deleted\nblock document       <id> deleted',
    });
    expect(await command('unregister', env)).toEqual({ code: 0, text: 'nothing was registered' });
    expect(mock.unexpected).toEqual([]);
  });

  it.each([
    [401, 'refuses the key: 401'],
    [307, 'answers 307'],
    [500, 'answers 500'],
  ])('show a receiver that answers %i', async (status, expected) => {
    const { mock, receiver } = await start();
    const env = { PREFECT_API_URL: mock.url, WEBHOOK_PUBLIC_URL: receiver.url };
    await command('register', env);
    receiver.status = status;
    const { code, text } = await command('status', env);
    expect([code, text]).toEqual([1, expect.stringContaining(expected)]);
  });

  it('show that nothing listens at the URL', async () => {
    const { mock } = await start();
    const env = { PREFECT_API_URL: mock.url, WEBHOOK_PUBLIC_URL: 'http://127.0.0.1:1' };
    await command('register', env);
    expect((await command('status', env)).text).toMatch(/✗ .*127\.0\.0\.1:1\/.* cannot be reached from here/);
  });

  it('say what to set, and that the orchestrator is not there', async () => {
    const unset = { PREFECT_NOTIFICATIONS_WEBHOOK_KEY: '' };
    expect(await command('register', unset)).toEqual({
      code: 1,
      text: '✗ PREFECT_NOTIFICATIONS_WEBHOOK_KEY is not set',
    });
    expect(await command('status', { PREFECT_API_URL: 'http://u:canary@127.0.0.1:1/api' })).toEqual({
      code: 1,
      text: '✗ orchestrator: unreachable (127.0.0.1:1)',
    });
  });

  it('say that nothing need be registered where the events websocket opens', async () => {
    const { mock } = await start();
    const env = { PREFECT_API_URL: mock.url, WEBHOOK_AUTO_REGISTER: 'auto' };
    expect(await command('status', env)).toEqual({
      code: 0,
      text: '✓ no webhook is registered, and none is needed: the events websocket opens',
    });
  });

  it('show that neither the events websocket nor a webhook is there', async () => {
    const { mock } = await start();
    mock.events.refuse(true);
    const { code, text } = await command('status', {
      PREFECT_API_URL: mock.url,
      WEBHOOK_AUTO_REGISTER: 'auto',
    });
    expect([code, text]).toEqual([1, expect.stringContaining('✗ the events websocket cannot be opened')]);
  });

  it('say that a registered webhook goes again at the next start unless it is asked for', async () => {
    const { mock, receiver } = await start();
    const env = {
      PREFECT_API_URL: mock.url,
      WEBHOOK_PUBLIC_URL: receiver.url,
      WEBHOOK_AUTO_REGISTER: 'auto',
    };
    expect((await command('register', env)).text).toContain('WEBHOOK_AUTO_REGISTER=true keeps it');
  });

  it('use a notification policy on servers before 3.4', async () => {
    const { mock, receiver } = await start({ version: '3.3.7' });
    const env = { PREFECT_API_URL: mock.url, WEBHOOK_PUBLIC_URL: receiver.url };
    const policies = z.array(z.looseObject({ id: z.string(), block_document_id: z.string() }));
    const call = async (method: string, path: string, body: unknown) => {
      const headers = { 'content-type': 'application/json' };
      const reply = await fetch(mock.url + path, { method, headers, body: JSON.stringify(body) });
      return (await reply.text()) || 'null';
    };
    const base = '/flow_run_notification_policies/';
    const all = async () => policies.parse(JSON.parse(await call('POST', `${base}filter`, {})));

    expect((await command('register', env)).text).toContain('notification policy  <id> made');
    expect((await command('register', env)).text).toContain('notification policy  <id> left as it is');
    expect((await command('status', env)).code).toBe(0);
    const [own] = await all();
    expect(own).toMatchObject({
      is_active: true,
      state_names: [],
      tags: [],
      message_template: 'Flow run {flow_run_name} with id {flow_run_id} entered state {flow_run_state_name}',
    });

    await call('PATCH', base + own!.id, { is_active: false });
    expect((await command('status', env)).text).toContain('✗ the notification policy is switched off');
    await command('register', env);
    const { block_document_id } = own!;
    await call('POST', base, { state_names: ['Failed'], tags: [], block_document_id });
    await command('register', env);
    expect(await all()).toEqual([{ ...own, updated: expect.any(String) as string }]);

    expect((await command('unregister', env)).text).toContain('notification policy  <id> deleted');
    expect(await all()).toEqual([]);
    expect(mock.unexpected).toEqual([]);
  });
});
