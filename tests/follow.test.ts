import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import { getRequestListener } from '@hono/node-server';
import { request, Agent } from 'undici';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createApp } from '../src/app.js';
import { loadConfig } from '../src/config.js';
import { createClient } from '../src/create-client.js';
import { EventReader } from './support/event-reader.js';
import { startFacade, type Facade } from './support/facade.js';
import { Host } from './support/host.js';
import { startMockOrchestrator, type MockOrchestrator } from './support/mock/index.js';
import { COMPLETED, FAILED, RUNNING, Seed } from './support/seed.js';
import { startTcpProxy, type TcpProxy } from './support/tcp-proxy.js';

let mock: MockOrchestrator;
let wire: TcpProxy;
let facade: Facade;
let host: Host;
let seed: Seed;
const readers: EventReader[] = [];
/** Runs that have not ended. */
const left = new Set<string>();

beforeEach(async () => {
  mock = await startMockOrchestrator();
  wire = await startTcpProxy(mock.url);
  facade = await startFacade(wire.url, { PREFECT_API_RETRY: 'false' });
  host = new Host(facade.url);
  seed = new Seed(mock.url);
});
afterEach(async () => {
  for (const reader of readers.splice(0)) reader.hangUp();
  // What a failed test left waiting ends with its run.
  mock.reset();
  await Promise.all([...left].map((id) => finish(id)));
  left.clear();
  await host.close();
  await facade.close();
  await wire.close();
  await mock.close();
});

const wait = (id: string, seconds = 25, from = host) =>
  from.get(`/proxy/v1/flow_runs/${id}/wait?timeout=${seconds}`);
const running = async () => {
  const id = await seed.flowRun({ states: [RUNNING] });
  left.add(id);
  return id;
};
const finish = (id: string) => {
  left.delete(id);
  return seed.setState('flow_runs', id, COMPLETED);
};
const listening = (count: number) =>
  expect.poll(() => mock.events.listening(), { interval: 5, timeout: 10_000 }).toBe(count);
/** The reads that the facade makes once its subscription stands. */
const readAfterSubscription = async () => {
  const before = mock.calls.length;
  await expect.poll(() => mock.calls.length, { interval: 5, timeout: 10_000 }).toBeGreaterThan(before);
  await expect.poll(() => mock.inFlight(), { interval: 5 }).toBe(0);
};
const read = (id: string, lastEventId?: string) => {
  const reader = new EventReader(`${facade.url}/proxy/v1/flow_runs/${id}/events`, lastEventId);
  readers.push(reader);
  return reader;
};
const stateOf = (type: string) => (event: { data: unknown }) =>
  (event.data as { type?: string }).type === type;
const says = (message: string) => (event: { data: unknown }) =>
  (event.data as { message?: string }).message === message;

describe('Upstream calls', () => {
  it('a thousand who wait for one run cost what one costs, and one websocket', async () => {
    const agent = new Agent({ connections: 1_000, pipelining: 1 });
    const id = await running();
    const ask = () =>
      request(`${facade.url}/proxy/v1/flow_runs/${id}/wait`, { dispatcher: agent }).then(async (reply) => ({
        ended: reply.headers['x-run-ended'],
        run: (await reply.body.json()) as { id: string },
      }));
    mock.reset();
    const replies = [ask()];
    await listening(1);
    await readAfterSubscription();
    expect(mock.calls.length).toBeLessThanOrEqual(2);
    mock.reset();
    while (replies.length < 1_000) replies.push(ask());
    await expect.poll(() => agent.stats[facade.url]?.running, { interval: 20, timeout: 15_000 }).toBe(1_000);
    // They are all there once one that comes behind them is answered.
    await host.get('/healthz');
    const early = mock.calls.length;
    await finish(id);
    const all = await Promise.all(replies);
    expect(all.filter(({ ended, run }) => ended === 'true' && run.id === id)).toHaveLength(1_000);
    const reads = mock.calls.filter(({ method, path }) => method === 'GET' || path === '/flow_runs/filter');
    // Those of the seconds that went by, and one for the end.
    expect(reads.length - early).toBeLessThanOrEqual(2);
    expect(early).toBeLessThanOrEqual(4);
    expect(mock.events.listening()).toBe(1);
    await agent.close();
  });

  it('many runs are read together', async () => {
    mock.events.refuse(true);
    const ids = await Promise.all(Array.from({ length: 120 }, () => seed.flowRun({ state: RUNNING })));
    mock.reset();
    const replies = ids.map((id) => wait(id, 20));
    /** Runs that each call has read. */
    const sizes = () =>
      mock.calls
        .filter(({ path }) => path.startsWith('/flow_runs/'))
        .map(({ body }) => (body as { limit: number } | null)?.limit ?? 1);
    // Once all are there, each round of reads is three calls.
    await expect.poll(() => sizes().join(), { interval: 20, timeout: 15_000 }).toContain('50,50,20');
    for (const id of ids) await finish(id);
    expect((await Promise.all(replies)).every(({ headers }) => headers['x-run-ended'] === 'true')).toBe(true);
  });

  it('no websocket for a run that has ended, nor for a look at one that has not', async () => {
    const [over, open] = [await seed.flowRun({ states: [COMPLETED] }), await running()];
    await wait(over);
    await wait(open, 0);
    expect(mock.events.listening()).toBe(0);
    expect(wire.connections).toBeLessThanOrEqual(2);
  });

  it('those who follow a run share its logs', async () => {
    const id = await running();
    await seed.logs([{ flowRunId: id, message: 'hello' }]);
    const first = read(id);
    await first.until(says('hello'));
    const others = Array.from({ length: 20 }, () => read(id));
    await Promise.all(others.map((reader) => reader.until(says('hello'))));
    await Promise.all([first, ...others].map((reader) => reader.settled()));
    mock.reset();
    await seed.logs([{ flowRunId: id, message: 'again', at: 1 }]);
    await Promise.all([first, ...others].map((reader) => reader.until(says('again'))));
    expect(mock.calls.filter(({ path }) => path === '/logs/filter').length).toBeLessThanOrEqual(2);
  });

  it('a lower page limit is learnt by states of many', async () => {
    const small = await startMockOrchestrator({ pageLimit: 100 });
    const own = await startFacade(small.url);
    const from = new Host(own.url);
    const smallSeed = new Seed(small.url);
    const ids = await Promise.all(Array.from({ length: 250 }, () => smallSeed.flowRun()));
    const poll = async () => {
      small.reset();
      const reply = await from.post('/proxy/v1/flow_runs/poll', { ids });
      expect((reply.json as { flow_runs: { id: string }[] }).flow_runs.map(({ id }) => id)).toEqual(ids);
      return small.calls.length;
    };
    await poll();
    expect(await poll()).toBe(3);
    await from.close();
    await own.close();
    await small.close();
  });
});

describe('Waiting goes on', () => {
  it('where the websocket is cut, and the run ends before it is back', async () => {
    const id = await running();
    const reply = wait(id);
    await listening(1);
    mock.events.refuse(true);
    mock.events.cut();
    await listening(0);
    await finish(id);
    expect((await reply).headers['x-run-ended']).toBe('true');
  });

  it('where the websocket is cut and comes back', async () => {
    const id = await running();
    const reply = wait(id);
    await listening(1);
    mock.events.cut();
    await listening(0);
    await listening(1);
    await finish(id);
    expect((await reply).headers['x-run-ended']).toBe('true');
  });

  it('where no event comes at all', async () => {
    const id = await running();
    mock.events.swallow(true);
    const reply = wait(id);
    await listening(1);
    await finish(id);
    expect((await reply).headers['x-run-ended']).toBe('true');
  });

  it('where a change is told of before it can be seen', async () => {
    const id = await running();
    const reply = wait(id);
    await listening(1);
    await readAfterSubscription();
    const before = JSON.stringify(await seed.call('GET', `/flow_runs/${id}`));
    let stale = 4;
    mock.fault(({ method }) => {
      if (method !== 'GET' || stale === 0) return undefined;
      stale -= 1;
      return { status: 200, body: before };
    });
    await finish(id);
    // So many rounds of reads would take longer than this test may.
    expect((await reply).headers['x-run-ended']).toBe('true');
    expect(stale).toBe(0);
  });

  it('where the orchestrator is away for a while', async () => {
    const id = await running();
    const reply = wait(id);
    await listening(1);
    wire.trouble = () => ({ refuse: true });
    wire.dropAll();
    await finish(id);
    await expect.poll(() => wire.connections, { interval: 20, timeout: 10_000 }).toBeGreaterThan(4);
    wire.trouble = () => ({});
    expect((await reply).headers['x-run-ended']).toBe('true');
  });

  it('where it answers 500 and 404 pages of something in between', async () => {
    const id = await running();
    const reply = wait(id);
    await listening(1);
    let failures = 0;
    mock.fault(({ path }) => {
      if (path.endsWith('/set_state') || failures >= 2) return undefined;
      failures += 1;
      return failures === 1
        ? { status: 500, body: '{}' }
        : { status: 404, body: '<html>no backend', headers: { 'content-type': 'text/html' } };
    });
    await finish(id);
    expect((await reply).headers['x-run-ended']).toBe('true');
    expect(failures).toBe(2);
  });

  it('and ends with 503 where the orchestrator is still away when the time is over', async () => {
    const id = await running();
    const reply = wait(id, 3);
    await listening(1);
    wire.trouble = () => ({ refuse: true });
    wire.dropAll();
    const { status, json, headers } = await reply;
    expect({ status, json }).toMatchObject({
      status: 503,
      json: { code: 'orchestrator_unavailable', detail: `failed to fetch flow_run ${id}` },
    });
    expect(Number(headers['retry-after'])).toBeGreaterThan(0);
  });
});

describe('Following goes on', () => {
  it('through a cut of the websocket and of connections, and tells nothing twice', async () => {
    const id = await running();
    await seed.logs([{ flowRunId: id, message: 'one' }]);
    const reader = read(id);
    await reader.until(says('one'));
    await listening(1);
    wire.dropAll();
    mock.events.cut();
    await seed.logs([{ flowRunId: id, message: 'two', at: 1 }]);
    await reader.until(says('two'));
    await seed.setState('flow_runs', id, FAILED);
    await reader.ended;
    expect(reader.messages()).toEqual(['one', 'two']);
    expect(reader.events.at(-1)).toMatchObject({ event: 'end', data: { type: 'FAILED' } });
  });

  it('to the next end, where a run is revived before its logs are over', async () => {
    const id = await running();
    const reader = read(id);
    await reader.until(stateOf('RUNNING'));
    await seed.setState('flow_runs', id, { type: 'CRASHED', name: 'Crashed' });
    await reader.until(stateOf('CRASHED'));
    await finish(id);
    await reader.ended;
    expect(reader.named('end').map(({ data }) => (data as { type: string }).type)).toEqual(['COMPLETED']);
  });
});

describe('A host that hangs up', () => {
  it('is dropped at once: nothing is read for it', async () => {
    const id = await running();
    const socket = await sendAndStay(facade.url, `/proxy/v1/flow_runs/${id}/wait`);
    await listening(1);
    socket.destroy();
    await expect.poll(() => lineOf('wait')?.['status'], { interval: 5 }).toBe(499);
    mock.reset();
    await finish(id);
    // What comes behind it through the facade is the only call.
    await host.get('/proxy/prefect/version');
    expect(mock.calls.map(({ path }) => path)).toEqual([`/flow_runs/${id}/set_state`, '/admin/version']);
  });

  it('leaves the others waiting', async () => {
    const id = await running();
    const socket = await sendAndStay(facade.url, `/proxy/v1/flow_runs/${id}/wait`);
    await listening(1);
    const reply = wait(id);
    socket.destroy();
    await expect.poll(() => lineOf('wait')?.['status'], { interval: 5 }).toBe(499);
    await finish(id);
    expect((await reply).headers['x-run-ended']).toBe('true');
  });

  it('ends its stream of events, and one line is written of it', async () => {
    const id = await running();
    const reader = read(id);
    await reader.until(stateOf('RUNNING'));
    expect(lineOf('events')).toBeUndefined();
    reader.hangUp();
    await expect.poll(() => lineOf('events')?.['status'], { interval: 5 }).toBe(200);
  });

  it('or reads no more, makes the facade read no more for it', async () => {
    const paged = await startMockOrchestrator({ pageLimit: 25 });
    const own = await startFacade(paged.url);
    const log = new Seed(paged.url);
    const id = await log.flowRun({ states: [COMPLETED] });
    const message = 'x'.repeat(40_000);
    for (let page = 0; page < 20; page += 1)
      await log.logs(Array.from({ length: 25 }, (_, n) => ({ flowRunId: id, message, at: page * 25 + n })));
    const pages = () => paged.calls.filter(({ path }) => path === '/logs/filter').length;
    const socket = await sendAndStay(own.url, `/proxy/v1/flow_runs/${id}/events`);
    socket.pause();
    let before = -1;
    const hasStopped = () => before === (before = pages()) && before > 2;
    await expect.poll(hasStopped, { interval: 300, timeout: 10_000 }).toBe(true);
    // What the sockets hold; the rest of 20 MB is not read.
    expect(pages()).toBeLessThan(15);
    let bytes = 0;
    socket.on('data', (part: Buffer) => (bytes += part.length));
    socket.resume();
    await expect.poll(() => bytes, { interval: 50, timeout: 15_000 }).toBeGreaterThan(20_000_000);
    socket.destroy();
    await own.close();
    await paged.close();
  }, 60_000);
});

describe('When the service ends', () => {
  let closing: AbortController;
  let server: Server;
  let url: string;
  let own: Host;
  beforeEach(async () => {
    closing = new AbortController();
    const config = { ...loadConfig({ PREFECT_API_RETRY: 'false' }), PREFECT_API_URL: wire.url };
    const logger = { info: () => {}, warn: () => {}, error: () => {}, close: () => Promise.resolve() };
    const client = createClient(config, wire.url);
    const app = createApp({ config, client, logger, hint: () => {}, closing: closing.signal });
    const listener = getRequestListener(app.fetch);
    server = createServer((incoming, outgoing) => void listener(incoming, outgoing));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    own = new Host(url);
  });
  afterEach(async () => {
    await own.close();
    server.closeAllConnections();
    server.close();
  });

  it('those who wait are told what is known', async () => {
    const id = await running();
    const reply = wait(id, 60, own);
    await listening(1);
    closing.abort();
    expect(await reply).toMatchObject({
      status: 200,
      headers: { 'x-run-ended': 'false' },
      json: { id, state_type: 'RUNNING' },
    });
    await listening(0);
  });

  it('or to ask again, where nothing is known', async () => {
    const id = await running();
    mock.fault(() => 'hang');
    const reply = wait(id, 60, own);
    await expect.poll(() => mock.inFlight(), { interval: 5 }).toBe(1);
    closing.abort();
    expect(await reply).toMatchObject({
      status: 503,
      headers: { 'retry-after': '1' },
      json: { code: 'shutting_down' },
    });
  });

  it('streams of events end without an end, so that hosts come again', async () => {
    const id = await running();
    const reader = new EventReader(`${url}/proxy/v1/flow_runs/${id}/events`);
    await reader.until(stateOf('RUNNING'));
    closing.abort();
    await reader.ended;
    expect(reader.named('end')).toEqual([]);
    await finish(id);
    const again = read(id, reader.lastId);
    await again.ended;
    expect(again.events.map(({ event }) => event)).toEqual(['state', 'end']);
  });
});

function lineOf(route: string) {
  return facade.lines.find((line) => String(line['route']).endsWith(`/${route}`));
}

/** Sends a GET over a socket of its own. */
async function sendAndStay(baseUrl: string, path: string): Promise<Socket> {
  const { hostname, port } = new URL(baseUrl);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
  return socket;
}
