import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ROUTES, makeGood, send, type Good } from './support/all-routes.js';
import { startFacade, type Facade } from './support/facade.js';
import { Host } from './support/host.js';
import { startMockOrchestrator, type MockOrchestrator } from './support/mock/index.js';
import { Seed } from './support/seed.js';
import { startTcpProxy, type TcpProxy, type Trouble } from './support/tcp-proxy.js';

let mock: MockOrchestrator;
let wire: TcpProxy;
let facade: Facade;
let host: Host;
let good: Good;
beforeEach(async () => {
  mock = await startMockOrchestrator();
  wire = await startTcpProxy(mock.url);
  facade = await startFacade(wire.url, { PREFECT_API_TIMEOUT: '2' });
  host = new Host(facade.url);
  good = await makeGood(host, new Seed(mock.url));
  // What follows begins with new connections.
  wire.dropAll();
  await expect.poll(() => wire.open()).toBe(0);
  mock.reset();
  facade.lines.length = 0;
});
afterEach(async () => {
  vi.useRealTimers();
  await host.close();
  await facade.close();
  await wire.close();
  await mock.close();
});

const poll = () => host.get(`/proxy/flow_runs/${good.run}/poll`);
const calls = (end: string) => mock.calls.filter(({ path }) => path.endsWith(end));
/** The next connection is in trouble, the others are not. */
function troubleOnce(trouble: Trouble): void {
  const first = wire.connections + 1;
  wire.trouble = (connection) => (connection === first ? trouble : {});
}
const troubleOften = (trouble: Trouble) => {
  wire.trouble = (connection) => (connection % 2 === 0 ? trouble : {});
};

const TROUBLES: [string, Trouble][] = [
  ['refused', { refuse: true }],
  ['reset before a reply', { resetAfterBytes: 0 }],
  ['reset within the headers', { resetAfterBytes: 20 }],
  ['reset within the body', { resetAfterBytes: 250 }],
  ['closed before a reply', { closeAfterBytes: 0 }],
  ['closed within the body', { closeAfterBytes: 250 }],
  ['slow', { delayMs: 30 }],
];
const READS = [
  'getRun',
  'pollRun',
  'listFinishedRuns',
  'getRunGraph',
  'listRunLogs',
  'listDeployments',
  'getSecret',
];

describe.each(TROUBLES)('A connection to the orchestrator that is %s', (_what, trouble) => {
  it('is not noticed by those who read', async () => {
    for (const route of ROUTES.filter(({ id }) => READS.includes(id))) {
      wire.dropAll();
      await expect.poll(() => wire.open()).toBe(0);
      troubleOnce(trouble);
      expect({ id: route.id, status: (await send(host, route, good)).status }).toEqual({
        id: route.id,
        status: 200,
      });
    }
  });

  it('does not make two runs', async () => {
    troubleOnce(trouble);
    const reply = await host.post(`/proxy/deployments/${good.deployment}/flow_run`, {});
    expect(reply.status).toBe(200);
    const keys = calls('/create_flow_run').map(
      ({ body }) => (body as Record<string, unknown>)['idempotency_key'],
    );
    expect(new Set(keys).size).toBe(1);
  });

  it('does not set a state twice', async () => {
    troubleOnce(trouble);
    const { status } = await host.post(`/proxy/flow_runs/${good.run}/retry`, { minutes: 5 });
    expect([200, 503]).toContain(status);
    expect(calls('/set_state').length).toBeLessThanOrEqual(1);
  });
});

describe('Over time', () => {
  it('every second connection breaks: 50 of 50 reads, and nothing leaks', async () => {
    troubleOften({ resetAfterBytes: 100 });
    for (let n = 0; n < 10; n += 1) {
      const replies = await Promise.all(Array.from({ length: 5 }, poll));
      expect(replies.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    }
    await expect.poll(() => mock.inFlight(), { interval: 5 }).toBe(0);
  });

  it('the server closes idle connections: 200 polls in turn see none of it', async () => {
    let dropped = 0;
    for (let n = 0; n < 200; n += 1) {
      // Sometimes in the very moment before the next one, sometimes with time for it to be seen.
      if (n % 3 === 0) {
        wire.dropAll();
        dropped += 1;
      }
      if (n % 6 === 0) await sleep(2);
      expect((await poll()).status).toBe(200);
    }
    expect(wire.connections).toBeGreaterThan(dropped / 2);
    expect(facade.lines.filter(({ level }) => level !== 'info')).toEqual([]);
  });

  it('an orchestrator that comes back is used again', async () => {
    wire.trouble = () => ({ refuse: true });
    wire.dropAll();
    expect((await poll()).status).toBe(503);
    wire.trouble = () => ({});
    // A breaker that opened lets a call try each second.
    await vi.waitFor(
      async () => {
        expect((await poll()).status).toBe(200);
      },
      { timeout: 10_000 },
    );
  });
});

describe('A host that hangs up', () => {
  /** Begins a request on a socket of its own. */
  async function begin(text: string): Promise<Socket> {
    const { hostname, port } = new URL(facade.url);
    const socket = connect(Number(port), hostname);
    socket.on('error', () => {});
    await once(socket, 'connect');
    socket.write(text);
    return socket;
  }

  it('before the reply breaks nothing', async () => {
    mock.fault(() => ({ delayMs: 50 }));
    const sockets = await Promise.all(
      Array.from({ length: 20 }, () =>
        begin(`GET /proxy/flow_runs/${good.run} HTTP/1.1\r\nhost: localhost\r\n\r\n`),
      ),
    );
    await expect.poll(() => mock.inFlight(), { interval: 5 }).toBeGreaterThan(0);
    for (const socket of sockets) socket.resetAndDestroy();
    await expect.poll(() => mock.inFlight(), { interval: 5 }).toBe(0);
    mock.reset();
    expect((await poll()).status).toBe(200);
  });

  it('shares a poll with others, who still get their reply', async () => {
    mock.fault(() => ({ delayMs: 100 }));
    const first = await begin(`GET /proxy/flow_runs/${good.run}/poll HTTP/1.1\r\nhost: localhost\r\n\r\n`);
    await expect.poll(() => mock.inFlight(), { interval: 5 }).toBe(1);
    const others = [poll(), poll()];
    first.destroy();
    expect((await Promise.all(others)).map(({ status }) => status)).toEqual([200, 200]);
  });

  it('within its body is no bug of the facade', async () => {
    const socket = await begin(
      'POST /proxy/flow_run/ HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"na',
    );
    await host.get('/healthz');
    socket.destroy();
    await once(socket, 'close');
    await expect.poll(() => facade.lines.some(({ method }) => method === 'POST')).toBe(true);
    expect(facade.lines.filter(({ level }) => level === 'error')).toEqual([]);
    expect(mock.calls).toEqual([]);
    expect((await poll()).status).toBe(200);
  });
});
