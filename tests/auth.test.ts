import { afterEach, describe, expect, it } from 'vitest';
import { startFacade, type Facade } from './support/facade.js';
import { Host } from './support/host.js';
import { startMockOrchestrator, type MockOptions, type MockOrchestrator } from './support/mock/index.js';

const SECRET = { blockName: 'key', secret: 'v' };
const write = (host: Host) => host.post('/proxy/blocks/secret/', SECRET);
const read = (host: Host) => host.get('/proxy/prefect/version');

let opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of opened.reverse()) await one.close();
  opened = [];
});

async function start(
  options: MockOptions,
  env: Record<string, string> = {},
): Promise<{ mock: MockOrchestrator; facade: Facade; host: Host }> {
  const mock = await startMockOrchestrator(options);
  const facade = await startFacade(mock.url, env);
  const host = new Host(facade.url);
  opened.push(mock, facade, host);
  return { mock, facade, host };
}

const BASIC = { PREFECT_API_AUTH_STRING: 'admin:pässword' };
const BEARER = { PREFECT_API_KEY: 'pnu_key' };

describe('Credentials', () => {
  it.each([
    ['none', {}, {}],
    ['Basic', { authString: 'admin:pässword' }, BASIC],
    ['Bearer', { apiKey: 'pnu_key' }, BEARER],
  ])('%s', async (_what, options, env) => {
    const { host } = await start(options, env);
    expect((await read(host)).status).toBe(200);
    expect((await write(host)).status).toBe(200);
  });

  it.each([
    ['none, where Basic is needed', { authString: 'a:b' }, {}],
    ['wrong Basic', { authString: 'a:b' }, { PREFECT_API_AUTH_STRING: 'a:c' }],
    ['wrong Bearer', { apiKey: 'k' }, { PREFECT_API_KEY: 'other' }],
  ])('%s: 502, asked once', async (_what, options, env) => {
    const { host, mock } = await start(options, env);
    for (const act of [read, write]) {
      mock.reset();
      expect(await act(host)).toMatchObject({
        status: 502,
        json: { code: 'orchestrator_refused_credentials' },
      });
      expect(mock.calls).toHaveLength(1);
    }
  });

  it("a host's own headers go no further", async () => {
    const { host, mock } = await start({});
    const headers = {
      authorization: 'Bearer of-the-host',
      cookie: 'session=of-the-host',
      'x-ddp-org': 'acme',
      'x-request-id': 'abc',
      'x-api-key': 'of-the-host',
      'prefect-csrf-token': 'of-the-host',
    };
    await host.get('/proxy/prefect/version', { headers });
    await host.post('/proxy/blocks/secret/', SECRET, { headers });
    expect(mock.calls.length).toBeGreaterThan(2);
    for (const call of mock.calls) {
      expect(JSON.stringify(call.headers)).not.toMatch(/of-the-host|acme|abc/);
      expect(call.headers['authorization']).toBeUndefined();
    }
  });
});

describe('CSRF', () => {
  const tokens = (mock: MockOrchestrator) => mock.calls.filter(({ path }) => path === '/csrf-token').length;

  it('is met on the first write, and then sent along', async () => {
    const { host, mock } = await start({ csrf: true });
    expect((await write(host)).status).toBe(200);
    expect((await write(host)).status).toBe(200);
    expect((await host.delete('/delete-a-block/00000000-0000-4000-8000-000000000000')).status).toBe(404);
    expect(tokens(mock)).toBe(1);
  });

  it.each([
    ['Basic', { authString: 'a:b' }, { PREFECT_API_AUTH_STRING: 'a:b' }],
    ['Bearer', { apiKey: 'k' }, { PREFECT_API_KEY: 'k' }],
  ])('goes with %s', async (_what, options, env) => {
    const { host } = await start({ ...options, csrf: true }, env);
    expect((await read(host)).status).toBe(200);
    expect((await write(host)).status).toBe(200);
  });

  it('many first writes at once share one token', async () => {
    const { host, mock } = await start({ csrf: true });
    const replies = await Promise.all(
      Array.from({ length: 10 }, (_, n) =>
        host.put('/proxy/blocks/secret/', { ...SECRET, blockName: `k${n}` }),
      ),
    );
    expect(replies.map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => 200));
    expect(tokens(mock)).toBeLessThanOrEqual(2);
  });

  it('a token that is no longer good is fetched anew, once', async () => {
    const { host, mock } = await start({ csrf: true });
    await write(host);
    mock.reset();
    // Another process took the token away.
    const { 'prefect-csrf-client': client } = (await lastWrite(host, mock)).headers;
    await fetch(`${mock.url}/csrf-token?client=${client ?? ''}`);
    mock.reset();
    expect((await write(host)).status).toBe(200);
    expect(tokens(mock)).toBe(1);
  });

  it('a 403 that stays is 502 after one refresh', async () => {
    const { host, mock } = await start({ csrf: true });
    await write(host);
    mock.reset();
    mock.fault(({ method }) => (method === 'GET' ? undefined : { status: 403, body: '{"detail":"no"}' }));
    expect(await write(host)).toMatchObject({
      status: 502,
      json: { code: 'orchestrator_refused_credentials' },
    });
    expect(tokens(mock)).toBe(1);
  });

  it.each([
    ['a login page', '<html>'],
    ['another JSON', '{"hello":1}'],
  ])('%s instead of a token is 502', async (_what, body) => {
    const { host, mock } = await start({ csrf: true });
    mock.fault(({ path }) => (path === '/csrf-token' ? { status: 200, body } : undefined));
    expect(await write(host)).toMatchObject({ status: 502 });
  });

  it('each process has a client id of its own', async () => {
    const { mock, host } = await start({ csrf: true });
    const other = await startFacade(mock.url);
    const otherHost = new Host(other.url);
    opened.push(other, otherHost);
    for (const one of [host, otherHost, host, otherHost]) expect((await write(one)).status).toBe(200);
    expect(tokens(mock)).toBe(2);
  });
});

async function lastWrite(host: Host, mock: MockOrchestrator) {
  await write(host);
  return mock.calls.findLast(({ headers }) => headers['prefect-csrf-client'] !== undefined)!;
}
