import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startFacade, type Facade } from './support/facade.js';
import { Host } from './support/host.js';
import { startMockOrchestrator, type MockOrchestrator } from './support/mock/index.js';

const PASSWORD = 'cAnArY-of-the-orchestrator';
const KEY = 'a-key-that-hosts-send-us';
let mock: MockOrchestrator;
let facade: Facade;
let host: Host;
beforeEach(async () => {
  mock = await startMockOrchestrator({ authString: `admin:${PASSWORD}` });
});
afterEach(async () => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  await host.close();
  await facade.close();
  await mock.close();
});

async function start(env: Record<string, string> = {}, apiUrl = mock.url): Promise<void> {
  facade = await startFacade(apiUrl, {
    PREFECT_API_AUTH_STRING: `admin:${PASSWORD}`,
    PREFECT_API_RETRY: 'false',
    ...env,
  });
  host = new Host(facade.url);
}

const ready = (headers = {}) => host.get('/readyz', { headers });
const unavailable = (reason: RegExp | string) => ({
  status: 503,
  json: { status: 'unavailable', reasons: [expect.stringMatching(reason) as string] },
});
const later = () => {
  const now = performance.now() + 10_000;
  vi.spyOn(performance, 'now').mockImplementation(() => now);
};

describe('GET /readyz', () => {
  it('is ok where the orchestrator answers, and asks it once for many', async () => {
    await start();
    const replies = await Promise.all(Array.from({ length: 10 }, () => ready()));
    for (const reply of replies) expect(reply).toMatchObject({ status: 200, json: { status: 'ok' } });
    expect((await ready()).status).toBe(200);
    expect(mock.calls).toHaveLength(1);
  });

  it('asks again after some seconds', async () => {
    await start();
    await ready();
    mock.fault(() => ({ status: 500 }));
    later();
    expect(await ready()).toMatchObject(unavailable('the orchestrator answers 500'));
    mock.reset();
    later();
    expect((await ready()).status).toBe(200);
  });

  it('says that the orchestrator cannot be reached', async () => {
    await start({ PREFECT_API_AUTH_STRING: '' }, `http://user:${PASSWORD}@127.0.0.1:1/api`);
    const reply = await ready();
    expect(reply).toMatchObject(unavailable('cannot be reached'));
    expect(reply.text).not.toContain(PASSWORD);
    expect(reply.text).not.toContain('127.0.0.1');
  });

  it('says that it is too slow, within its own time', async () => {
    await start({ PREFECT_API_TIMEOUT: '60' });
    mock.fault(() => 'hang');
    expect(await ready()).toMatchObject(unavailable('did not answer within 2 seconds'));
  });

  it('says that it refuses our credentials', async () => {
    await start({ PREFECT_API_AUTH_STRING: `admin:wrong-${PASSWORD}` });
    const reply = await ready();
    expect(reply).toMatchObject(unavailable('refuses our credentials'));
    expect(reply.text).not.toContain(PASSWORD);
  });

  it('says that something else answers', async () => {
    await start();
    mock.fault(() => ({ status: 200, body: '<html>' }));
    expect(await ready()).toMatchObject(unavailable('is no orchestrator'));
  });

  it('is not ok while the breaker is open, whatever was heard before, and closes it by itself', async () => {
    await start();
    expect((await ready()).status).toBe(200);
    mock.fault(() => ({ status: 503 }));
    for (let n = 0; n < 15; n += 1) await host.get('/proxy/prefect/version');
    mock.reset();
    expect(await ready()).toMatchObject(unavailable('left alone'));
    expect(mock.calls).toEqual([]);
    await vi.waitFor(
      async () => {
        expect((await ready()).status).toBe(200);
      },
      { timeout: 10_000 },
    );
    expect((await host.get('/proxy/prefect/version')).status).toBe(200);
  });

  it('tells whoever has no key the status only', async () => {
    await start({ PROXY_API_KEY: KEY });
    mock.fault(() => ({ status: 500 }));
    const blind = await ready();
    expect(blind).toMatchObject({ status: 503, json: { status: 'unavailable' } });
    expect(blind.json).not.toHaveProperty('reasons');
    expect(await ready({ 'x-api-key': KEY })).toMatchObject(unavailable('answers 500'));
  });
});
