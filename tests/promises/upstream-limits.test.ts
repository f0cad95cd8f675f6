import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { detailOf, makeGood, ROUTES, send, type Good } from '../support/all-routes.js';
import { contract } from '../support/contract.js';
import { startFacade, type Facade } from '../support/facade.js';
import { Host } from '../support/host.js';
import { unusedUrl } from '../support/tcp-proxy.js';

/* What the orchestrator may cost: bytes, repetitions and time. */

const c = contract();
let good: Good;
let facade: Facade | undefined;
let host: Host | undefined;
beforeAll(async () => {
  good = await makeGood(c.host, c.seed);
});
beforeEach(() => {
  c.mock!.reset();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await host?.close();
  await facade?.close();
  host = facade = undefined;
});
async function start(apiUrl: string, env: Record<string, string> = {}): Promise<Host> {
  facade = await startFacade(apiUrl, env);
  return (host = new Host(facade.url));
}
const pollOf = (asking: Host) => asking.get(`/proxy/flow_runs/${good.run}/poll`);

describe('A reply that is larger than PREFECT_API_MAX_REPLY_BYTES', () => {
  it('is a 502 that says so, is not repeated and opens no breaker', async () => {
    const asking = await start(c.apiUrl, { PREFECT_API_MAX_REPLY_BYTES: '10000' });
    const body = `[{"id":"${'x'.repeat(20_000)}"}]`;
    c.mock!.fault(() => ({ status: 200, body }));
    for (let n = 0; n < 20; n += 1) {
      const reply = await asking.get(`/proxy/flow_runs?deployment_id=${good.deployment}`);
      expect(reply).toMatchObject({ status: 502, json: { code: 'orchestrator_failed' } });
      expect((reply.json as { upstream: string }).upstream).toContain('PREFECT_API_MAX_REPLY_BYTES');
    }
    expect(c.mock!.calls).toHaveLength(20);
    c.mock!.reset();
    expect((await pollOf(asking)).status).toBe(200);
  });

  it('is given up as soon as that is known: a reply that never ends is not waited for', async () => {
    let sent = 0;
    const endless = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => {
        socket.write(
          'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n',
        );
        const part = `${(65_536).toString(16)}\r\n${'x'.repeat(65_536)}\r\n`;
        const pour = (): void => {
          if (socket.destroyed) return;
          sent += 65_536;
          if (socket.write(part)) setImmediate(pour);
          else socket.once('drain', pour);
        };
        pour();
      });
    });
    await new Promise<void>((resolve) => endless.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(endless.address() as AddressInfo).port}/api`;
    const asking = await start(url, { PREFECT_API_MAX_REPLY_BYTES: '1000000' });
    expect((await pollOf(asking)).status).toBe(502);
    // What the sockets hold comes on top.
    expect(sent).toBeLessThan(30_000_000);
    await new Promise((resolve) => endless.close(resolve));
  });
});

describe('A reply of a wrong shape', () => {
  it.each([
    ['a page', '<html>'],
    ['another object', '{"hello":1}'],
    ['nothing', ''],
  ])('is asked for twice more, not ten times: %s', async (_what, body) => {
    const asking = await start(c.apiUrl);
    c.mock!.fault(() => ({ status: 200, body }));
    expect((await pollOf(asking)).status).toBe(502);
    expect(c.mock!.calls).toHaveLength(3);
  });

  it.each(ROUTES.filter(({ id }) => /^(pollRun|waitForRun|getRunResult|explainRun|retryRun)$/.test(id)))(
    'is a 502 of $id where the run has its id and not its other fields',
    async (route) => {
      const asking = await start(c.apiUrl, { PREFECT_API_RETRY: 'false' });
      c.mock!.fault(({ path }) =>
        path === `/flow_runs/${good.run}`
          ? { status: 200, body: `{"id":"${good.run}","state":"COMPLETED"}` }
          : undefined,
      );
      const { status } = await send(asking, route, good);
      // A poll passes on what Prefect wrote of this run, whatever it is.
      expect(status).toBe(route.id === 'pollRun' ? 200 : 502);
    },
  );
});

describe('An orchestrator that takes no connections', () => {
  it('is a 503 within 5 s, with retries as they are by default', async () => {
    const asking = await start(`${await unusedUrl()}/api`, {
      PREFECT_API_TIMEOUT: '25',
      PREFECT_API_RETRY_DELAY: '0.5',
    });
    const started = performance.now();
    const reply = await pollOf(asking);
    expect(performance.now() - started).toBeLessThan(5_000);
    expect(reply).toMatchObject({
      status: 503,
      json: {
        code: 'orchestrator_unavailable',
        detail: detailOf(
          ROUTES.find(({ id }) => id === 'pollRun')!,
          good,
        ),
      },
    });
  });
});

describe('A clock that is set back', () => {
  it('does not keep a breaker open, nor a request waiting', async () => {
    const asking = await start(c.apiUrl, { PREFECT_API_RETRY: 'false' });
    c.mock!.fault(() => ({ status: 503 }));
    for (let n = 0; n < 16; n += 1) await pollOf(asking);
    expect(await pollOf(asking)).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
    c.mock!.reset();
    const now = Date.now();
    const set = vi.spyOn(Date, 'now').mockImplementation(() => now - 300_000);
    await vi.waitFor(
      async () => {
        expect((await pollOf(asking)).status).toBe(200);
      },
      { timeout: 10_000 },
    );
    expect(set).toHaveBeenCalled();
  });
});

describe('A run that is to start now', () => {
  it('starts by the clock of the orchestrator: no time is sent', async () => {
    for (const [path, body] of [
      [`/proxy/deployments/${good.deployment}/flow_run`, {}],
      [`/proxy/deployments/${good.deployment}/flow_run/schedule`, { runParams: {}, scheduledTime: null }],
    ] as const) {
      c.mock!.reset();
      expect((await c.host.post(path, body)).status).toBe(200);
      const sent = c.mock!.calls.find((call) => call.path.endsWith('/create_flow_run'));
      expect(JSON.stringify(sent!.body)).not.toContain('scheduled_time');
    }
  });
});
