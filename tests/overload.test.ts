import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startFacade, type Facade } from './support/facade.js';
import { Host, type Reply } from './support/host.js';
import { startMockOrchestrator, type MockOrchestrator, type RecordedCall } from './support/mock/index.js';
import { Seed } from './support/seed.js';

let mock: MockOrchestrator;
let seed: Seed;
let facade: Facade;
let host: Host;
let deployment: string;
let run: string;
let answers: (() => void)[];
beforeEach(async () => {
  answers = [];
  mock = await startMockOrchestrator();
  seed = new Seed(mock.url);
  deployment = await seed.deployment();
  run = await seed.flowRun();
});
afterEach(async () => {
  goOn();
  await host.close();
  await facade.close();
  expect(mock.unexpected).toEqual([]);
  await mock.close();
});

async function start(env: Record<string, string>): Promise<void> {
  facade = await startFacade(mock.url, { REQUEST_QUEUE_TIMEOUT: '60', ...env });
  host = new Host(facade.url);
  mock.calls.length = 0;
}

const VERSION = '/proxy/prefect/version';
const isVersion = ({ path }: RecordedCall) => path.endsWith('/version');

/** From now on these calls are answered only when it goes on. */
function stall(isStalled: (call: RecordedCall) => boolean = isVersion): void {
  mock.fault((call) =>
    isStalled(call) ? { until: new Promise((resolve) => answers.push(resolve)) } : undefined,
  );
}

function goOn(): void {
  mock.reset();
  for (const answer of answers.splice(0)) answer();
}

const version = () => host.get(VERSION);
const poll = (id = run) => host.get(`/proxy/flow_runs/${id}/poll`);
const logs = () => host.get(`/proxy/flow_runs/logs/${run}`);
const trigger = () => host.post(`/proxy/deployments/${deployment}/flow_run`, {});
const times = <T>(count: number, make: () => T) => Array.from({ length: count }, make);
const statuses = async (replies: Promise<Reply>[]) =>
  (await Promise.all(replies)).map(({ status }) => status);

/** Sends a request; resolves when it has come to the facade. */
async function sent<T>(send: () => T): Promise<[T]> {
  const before = facade.arrived();
  const reply = send();
  await expect.poll(() => facade.arrived(), { interval: 2 }).toBeGreaterThan(before);
  return [reply];
}

/** Takes slots with reads that are not answered. */
async function stalledReads(count: number): Promise<Promise<Reply>[]> {
  stall();
  const replies = times(count, version);
  await expect.poll(() => answers.length, { interval: 2 }).toBe(count);
  return replies;
}

function expectRefused(reply: Reply): void {
  expect(reply.headers['retry-after']).toBe('1');
  const requestId = reply.headers['x-request-id'];
  expect(reply).toMatchObject({ status: 503, json: { code: 'overloaded', request_id: requestId } });
}

/** A request on a socket of its own, for a host that hangs up. */
async function begin(path: string): Promise<Socket> {
  const { hostname, port } = new URL(facade.url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  await sent(() => socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`));
  return socket;
}

const served = () => facade.lines.filter(({ message }) => message === 'request');

describe('With every slot taken by reads that stall', () => {
  it('a trigger goes first, then polls as they came, then logs', async () => {
    await start({ MAX_REQUESTS_IN_FLIGHT: '1' });
    const other = await seed.flowRun();
    const replies = await stalledReads(1);
    for (const send of [logs, () => poll(run), () => poll(other), trigger])
      replies.push(...(await sent(send)));
    goOn();
    expect(await statuses(replies)).toEqual([200, 200, 200, 200, 200]);
    expect(served().map(({ route }) => String(route).replace('/proxy', ''))).toEqual([
      '/prefect/version',
      '/deployments/{deployment_id}/flow_run',
      '/flow_runs/{flow_run_id}/poll',
      '/flow_runs/{flow_run_id}/poll',
      '/flow_runs/logs/{flow_run_id}',
    ]);
    const polled = mock.calls.filter(
      ({ method, path }) => method === 'GET' && /flow_runs\/[^/]+$/.test(path),
    );
    expect(polled.map(({ path }) => path.slice(-36)).slice(0, 2)).toEqual([run, other]);
  });

  it('a trigger has a slot that reads do not get', async () => {
    await start({ MAX_REQUESTS_IN_FLIGHT: '8' });
    const reads = await stalledReads(7);
    reads.push(...(await sent(version)));
    expect((await trigger()).status).toBe(200);
    expect(answers).toHaveLength(7);
    goOn();
    expect(await statuses(reads)).toEqual(times(8, () => 200));
  });

  it('a trigger has a connection to the orchestrator that reads do not get', async () => {
    await start({ PREFECT_API_CONNECTIONS: '8' });
    stall();
    const reads = times(20, version);
    await expect.poll(() => facade.arrived(), { interval: 2 }).toBe(20);
    await expect.poll(() => answers.length, { interval: 2 }).toBe(7);
    expect((await trigger()).status).toBe(200);
    expect(mock.calls.filter(isVersion)).toHaveLength(7);
    goOn();
    expect(await statuses(reads)).toEqual(times(20, () => 200));
  });

  it('logs that stall leave half of the slots to polls', async () => {
    await start({ MAX_REQUESTS_IN_FLIGHT: '8' });
    stall(({ path }) => path.endsWith('/logs/filter'));
    const stalled = times(6, logs);
    await expect.poll(() => answers.length, { interval: 2 }).toBe(4);
    expect((await poll()).status).toBe(200);
    expect(answers).toHaveLength(4);
    goOn();
    expect(await statuses(stalled)).toEqual(times(6, () => 200));
  });

  it('the facade says that it is alive', async () => {
    await start({ MAX_REQUESTS_IN_FLIGHT: '1', MAX_REQUESTS_QUEUED: '0' });
    const [stalled] = await stalledReads(1);
    expectRefused(await poll());
    expect((await host.get('/healthz')).status).toBe(200);
    expect((await host.get('/openapi.json')).status).toBe(200);
    goOn();
    expect((await stalled!).status).toBe(200);
  });

  it('all is served once it is over', async () => {
    await start({ MAX_REQUESTS_IN_FLIGHT: '4', PREFECT_API_CONNECTIONS: '2' });
    stall(() => true);
    const send = [version, poll, logs, trigger];
    const replies = times(40, () => undefined).map((_, n) => send[n % send.length]!());
    await expect.poll(() => facade.arrived(), { interval: 2 }).toBe(40);
    await expect.poll(() => answers.length, { interval: 2 }).toBe(2);
    goOn();
    expect(await statuses(replies)).toEqual(times(40, () => 200));
    expect(mock.maxInFlight()).toBeLessThanOrEqual(2);
  });
});

describe('Where no more can wait', () => {
  it('a request is refused, and says when to come again', async () => {
    await start({ MAX_REQUESTS_IN_FLIGHT: '1', MAX_REQUESTS_QUEUED: '2' });
    const replies = await stalledReads(1);
    replies.push(...(await sent(poll)), ...(await sent(poll)));
    expectRefused(await poll());
    expectRefused(await logs());
    goOn();
    expect(await statuses(replies)).toEqual([200, 200, 200]);
  });

  it('the least urgent one that waits gives way, the oldest first', async () => {
    await start({ MAX_REQUESTS_IN_FLIGHT: '1', MAX_REQUESTS_QUEUED: '3' });
    const [stalled] = await stalledReads(1);
    const [first] = await sent(poll);
    const [second] = await sent(poll);
    const [third] = await sent(logs);
    const [startedFirst] = await sent(trigger);
    expectRefused(await third);
    const [startedSecond] = await sent(trigger);
    expectRefused(await first);
    goOn();
    const left = [stalled!, second, startedFirst, startedSecond];
    expect(await statuses(left)).toEqual([200, 200, 200, 200]);
  });

  it('a body is not read', async () => {
    await start({ MAX_REQUESTS_IN_FLIGHT: '1', MAX_REQUESTS_QUEUED: '0' });
    const [stalled] = await stalledReads(1);
    expectRefused(await host.post('/proxy/flow_run/', undefined, { raw: '{"name":' }));
    goOn();
    expect((await stalled!).status).toBe(200);
  });

  it('a wrong key is still a wrong key', async () => {
    await start({
      MAX_REQUESTS_IN_FLIGHT: '1',
      MAX_REQUESTS_QUEUED: '0',
      PREFECT_NOTIFICATIONS_WEBHOOK_KEY: 'right',
    });
    const [stalled] = await stalledReads(1);
    const notify = (key: string) =>
      host.post('/webhooks/v1/notification/', {}, { headers: { 'x-notification-key': key } });
    expect((await notify('wrong')).status).toBe(401);
    expectRefused(await notify('right'));
    goOn();
    expect((await stalled!).status).toBe(200);
  });

  it('a call to the orchestrator is refused, too', async () => {
    await start({ PREFECT_API_CONNECTIONS: '1', PREFECT_API_QUEUE: '2' });
    const replies = await stalledReads(1);
    replies.push(...(await sent(version)));
    expect(await version()).toMatchObject({
      status: 503,
      headers: { 'retry-after': '1' },
      json: { code: 'overloaded' },
    });
    const [started] = await sent(trigger);
    expect((await replies[1]!).status).toBe(503);
    goOn();
    expect((await replies[0]!).status).toBe(200);
    expect((await started).status).toBe(200);
  });
});

describe('Those who wait for their turn', () => {
  it('wait for REQUEST_QUEUE_TIMEOUT at most', async () => {
    await start({ MAX_REQUESTS_IN_FLIGHT: '1', REQUEST_QUEUE_TIMEOUT: '0.05' });
    const [stalled] = await stalledReads(1);
    expectRefused(await poll());
    expectRefused(await trigger());
    goOn();
    expect((await stalled!).status).toBe(200);
  });

  it('leave when their host hangs up, and nothing is asked for them', async () => {
    await start({ MAX_REQUESTS_IN_FLIGHT: '1', MAX_REQUESTS_QUEUED: '1' });
    const gone = await seed.flowRun();
    const [stalled] = await stalledReads(1);
    const socket = await begin(`/proxy/flow_runs/${gone}/poll`);
    expectRefused(await poll());
    socket.destroy();
    await expect.poll(() => served().some(({ status }) => status === 499), { interval: 2 }).toBe(true);
    const [next] = await sent(poll);
    goOn();
    expect(await statuses([stalled!, next])).toEqual([200, 200]);
    expect(mock.calls.filter(({ path }) => path.includes(gone))).toEqual([]);
  });

  it('have spent a part of PREFECT_API_TIMEOUT', async () => {
    await start({ MAX_REQUESTS_IN_FLIGHT: '1', PREFECT_API_TIMEOUT: '0.3' });
    stall(() => true);
    const [first] = await sent(version);
    const [second] = await sent(poll);
    expect(await statuses([first, second])).toEqual([504, 504]);
    // Its own time was nearly over when its turn came.
    expect(Number(served()[1]?.['upstream_ms'])).toBeLessThan(Number(served()[0]?.['upstream_ms']));
  });
});

describe('Those who wait for a run', () => {
  const waitFor = () => `/proxy/v1/flow_runs/${run}/wait?timeout=60`;
  const follow = () => `/proxy/v1/flow_runs/${run}/events`;

  it.each([
    ['wait', waitFor],
    ['events', follow],
  ])('%s: are counted apart, until they hang up', async (_what, path) => {
    await start({ MAX_REQUESTS_IN_FLIGHT: '1', MAX_REQUESTS_QUEUED: '0', MAX_WAITERS: '2' });
    const sockets = [await begin(path()), await begin(path())];
    expectRefused(await host.get(path()));
    expect((await poll()).status).toBe(200);
    for (const socket of sockets) socket.destroy();
    const nobody = `/proxy/v1/flow_runs/${run}/wait?timeout=0`;
    await expect.poll(async () => (await host.get(nobody)).status, { interval: 5 }).toBe(200);
  });

  it('leave when they have their reply', async () => {
    await start({ MAX_WAITERS: '1' });
    const look = () => host.get(`/proxy/v1/flow_runs/${run}/wait?timeout=0`);
    for (let n = 0; n < 5; n += 1) expect((await look()).status).toBe(200);
  });
});
