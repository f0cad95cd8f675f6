import { once } from 'node:events';
import { WebSocket } from 'undici';
import { afterEach, expect, it } from 'vitest';
import { startMockOrchestrator, type MockOrchestrator } from './support/mock/index.js';

/** What the mock does beside answering: the parity of its answers is tests/live/mock-parity.test.ts. */
const open: MockOrchestrator[] = [];

async function start(options: Parameters<typeof startMockOrchestrator>[0] = {}): Promise<MockOrchestrator> {
  const mock = await startMockOrchestrator(options);
  open.push(mock);
  return mock;
}

const json = { 'content-type': 'application/json' };
const post = (url: string, body: unknown, headers: Record<string, string> = {}) =>
  fetch(url, { method: 'POST', headers: { ...json, ...headers }, body: JSON.stringify(body) });

afterEach(async () => {
  await Promise.all(open.splice(0).map((mock) => mock.close()));
});

it('records every call, and what no handler knows', async () => {
  const mock = await start();
  await post(`${mock.url}/flows/filter?a=1`, { limit: 1 });
  expect(mock.calls).toMatchObject([
    { method: 'POST', path: '/flows/filter', search: '?a=1', body: { limit: 1 } },
  ]);
  expect((await fetch(`${mock.url}/nowhere`)).status).toBe(500);
  expect((await fetch(`${mock.url}/flows/`)).status).toBe(405);
  expect((await fetch(`${mock.url}/deployments/no-uuid`)).status).toBe(404);
  expect(mock.unexpected).toEqual(['GET /nowhere', 'GET /flows/']);
  mock.reset();
  expect([mock.calls, mock.unexpected]).toEqual([[], []]);
});

it('injects faults', async () => {
  const mock = await start();
  mock.fault(({ path }) => (path === '/health' ? 'reset' : undefined));
  await expect(fetch(`${mock.url}/health`)).rejects.toThrow();
  mock.reset();
  mock.fault(() => 'truncate');
  const cut = await fetch(`${mock.url}/admin/version`);
  expect(cut.headers.get('content-length')).toBe('7');
  await expect(cut.text()).rejects.toThrow();
  mock.reset();
  mock.fault(() => ({
    status: 503,
    body: '{"exception_message":"Service Unavailable"}',
    headers: { 'retry-after': '1' },
  }));
  const busy = await fetch(`${mock.url}/health`);
  expect([busy.status, busy.headers.get('retry-after')]).toEqual([503, '1']);
  mock.reset();
  mock.fault(() => ({ delayMs: 50 }));
  const before = performance.now();
  expect(await (await fetch(`${mock.url}/health`)).json()).toBe(true);
  expect(performance.now() - before).toBeGreaterThan(45);
  mock.reset();
  mock.fault(() => 'hang');
  const hung = [1, 2].map(() => fetch(`${mock.url}/health`, { signal: AbortSignal.timeout(100) }));
  expect((await Promise.allSettled(hung)).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  expect(mock.maxInFlight()).toBe(2);
  await expect.poll(() => mock.inFlight()).toBe(0);
});

it('asks for Basic credentials', async () => {
  const { url } = await start({ authString: 'admin:pass' });
  const basic = `Basic ${Buffer.from('admin:pass').toString('base64')}`;
  expect((await fetch(`${url}/health`)).status).toBe(200);
  const refused = await fetch(`${url}/admin/version`);
  expect([refused.status, await refused.json()]).toEqual([401, { exception_message: 'Unauthorized' }]);
  expect((await fetch(`${url}/admin/version`, { headers: { authorization: basic } })).status).toBe(200);
});

it('asks for a CSRF token on writes, and for that before credentials', async () => {
  const { url } = await start({ csrf: true, authString: 'a:b' });
  const authorization = `Basic ${Buffer.from('a:b').toString('base64')}`;
  const detail = async (reply: Promise<Response>) =>
    ((await (await reply).json()) as { detail: string }).detail;
  expect(await detail(post(`${url}/flows/filter`, {}))).toBe('Missing CSRF token.');
  const wrong = { 'prefect-csrf-token': 'x', 'prefect-csrf-client': 'me' };
  expect(await detail(post(`${url}/flows/filter`, {}, wrong))).toBe(
    'Invalid CSRF token or client identifier.',
  );
  const { token } = (await (
    await fetch(`${url}/csrf-token?client=me`, { headers: { authorization } })
  ).json()) as { token: string };
  const right = { 'prefect-csrf-token': token, 'prefect-csrf-client': 'me', authorization };
  expect((await post(`${url}/flows/filter`, {}, right)).status).toBe(200);
});

it('lowers the page limit', async () => {
  const { url } = await start({ pageLimit: 3 });
  const refused = await post(`${url}/flow_runs/filter`, { limit: 4 });
  expect(await refused.json()).toEqual({ detail: 'Invalid limit: must be less than or equal to 3.' });
});

it('keeps numbers as they were written', async () => {
  const { url } = await start();
  const flow = (await (await post(`${url}/flows/`, { name: 'f' })).json()) as { id: string };
  const body = `{"flow_id":"${flow.id}","parameters":{"big":123456789012345678901234567890,"float":8.0}}`;
  const run = await fetch(`${url}/flow_runs/`, { method: 'POST', headers: json, body });
  expect(await run.text()).toContain('"parameters":{"big":123456789012345678901234567890,"float":8.0}');
  expect((await post(`${url}/flow_runs/filter`, {})).status).toBe(500);
});

/** A client of the events websocket, and what came: the auth message is answered, the filter is not. */
async function listen(mock: MockOrchestrator, token: string | null = null) {
  const socket = new WebSocket(`${mock.url.replace(/^http/, 'ws')}/events/out`, ['prefect']);
  const received: string[] = [];
  const closed = new Promise<number>((resolve) => {
    socket.onclose = ({ code }) => {
      resolve(code);
    };
  });
  socket.onmessage = ({ data }) => {
    const { event } = JSON.parse(String(data)) as { event?: { event: string } };
    if (event !== undefined) received.push(event.event);
  };
  const opened = once(socket, 'open').catch(() => undefined);
  await Promise.race([opened, closed]);
  if (socket.readyState === WebSocket.OPEN) {
    const until = new Date(Date.now() + 3_600_000).toISOString();
    socket.send(JSON.stringify({ type: 'auth', token }));
    socket.send(JSON.stringify({ type: 'filter', backfill: true, filter: { occurred: { until } } }));
  }
  return { socket, received, closed };
}

it('emits events of state changes, and loses them as a test wants', async () => {
  const mock = await start();
  const flow = (await (await post(`${mock.url}/flows/`, { name: 'f' })).json()) as { id: string };
  const run = async (type: string) => {
    await post(`${mock.url}/flow_runs/`, { flow_id: flow.id, state: { type } });
  };
  await run('PENDING');
  const one = await listen(mock);
  await expect.poll(() => mock.events.listening()).toBe(1);
  mock.events.swallow(true);
  await run('FAILED');
  mock.events.swallow(false);
  await run('RUNNING');
  await expect.poll(() => one.received).toEqual(['prefect.flow-run.Pending', 'prefect.flow-run.Running']);

  mock.events.cut();
  expect(await one.closed).toBe(1006);
  expect(mock.events.listening()).toBe(0);
  mock.events.refuse(true);
  expect(await (await listen(mock)).closed).toBe(1006);
  mock.reset();
  const two = await listen(mock);
  await expect.poll(() => two.received).toEqual(['prefect.flow-run.Pending', 'prefect.flow-run.Running']);
  const messages = 'x'.repeat(70_000);
  await post(`${mock.url}/flow_runs/`, { flow_id: flow.id, state: { type: 'CRASHED', message: messages } });
  await expect.poll(() => two.received.at(-1)).toBe('prefect.flow-run.Crashed');
  two.socket.close();
  expect(await two.closed).toBe(1005);
});

it('asks the events websocket for its token', async () => {
  const mock = await start({ authString: 'admin:pass' });
  for (const wrong of [null, 'x']) expect(await (await listen(mock, wrong)).closed).toBe(1008);
  const { socket } = await listen(mock, 'admin:pass');
  await expect.poll(() => mock.events.listening()).toBe(1);
  socket.close();
  await expect.poll(() => mock.events.listening()).toBe(0);
});
