import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makeGood, ROUTES, send, type Good } from './support/all-routes.js';
import { contract } from './support/contract.js';
import { startFacade, type Facade } from './support/facade.js';
import { Host } from './support/host.js';
import { Samples } from './support/prometheus.js';
import { COMPLETED } from './support/seed.js';

const CANARY = 'cAnArY-77aa';
const KEY = 'a-key-that-hosts-send-us';
const env = {
  PREFECT_API_RETRY: 'false',
  PREFECT_API_AUTH_STRING: `admin:${CANARY}`,
  PREFECT_NOTIFICATIONS_WEBHOOK_KEY: `${CANARY}-webhook`,
};
const c = contract();
let good: Good;
let facade: Facade;
let host: Host;
beforeAll(async () => {
  good = await makeGood(c.host, c.seed);
});
beforeEach(async () => {
  c.mock!.reset();
  facade = await startFacade(c.apiUrl, env);
  host = new Host(facade.url);
});
afterEach(async () => {
  await host.close();
  await facade.close();
});

const scrape = async () => new Samples((await host.get('/metrics')).text);
const POLL = '/proxy/flow_runs/{flow_run_id}/poll';
const poll = (id = good.run) => host.get(`/proxy/flow_runs/${id}/poll`);

describe('GET /metrics', () => {
  it('is text in the format of Prometheus', async () => {
    const reply = await host.get('/metrics');
    expect(reply.status).toBe(200);
    expect(reply.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(reply.text).toMatch(
      /^# HELP prefect_proxy_requests_total .+\n# TYPE prefect_proxy_requests_total counter$/m,
    );
  });

  it('counts and times requests by the pattern of their route', async () => {
    await poll();
    await poll();
    await poll('00000000-0000-4000-8000-000000000000');
    await host.get('/no/such/path');
    await host.send('OPTIONS', '/proxy/prefect/version');
    const samples = await scrape();
    const count = (method: string, route: string, status: number) =>
      samples.of('prefect_proxy_requests_total', { method, route, status });
    expect(count('GET', POLL, 200)).toBe(2);
    expect(count('GET', POLL, 404)).toBe(1);
    expect(count('GET', 'none', 404)).toBe(1);
    expect(count('OPTIONS', 'none', 405)).toBe(1);
    const about = { method: 'GET', route: POLL };
    expect(samples.of('prefect_proxy_request_duration_seconds_count', about)).toBe(3);
    expect(samples.of('prefect_proxy_request_duration_seconds_bucket', { ...about, le: '+Inf' })).toBe(3);
    expect(samples.of('prefect_proxy_request_duration_seconds_sum', about)).toBeGreaterThan(0);
  });

  it('counts an event stream and leaves its time out', async () => {
    const ended = await c.seed.flowRun({ states: [COMPLETED] });
    const stream = await host.get(`/proxy/v1/flow_runs/${ended}/events`);
    expect(stream.status).toBe(200);
    const route = '/proxy/v1/flow_runs/{flow_run_id}/events';
    const samples = await scrape();
    expect(samples.of('prefect_proxy_requests_total', { method: 'GET', route, status: 200 })).toBe(1);
    expect(
      samples.of('prefect_proxy_request_duration_seconds_count', { method: 'GET', route }),
    ).toBeUndefined();
  });

  it('counts calls to the orchestrator by kind and outcome', async () => {
    await host.get('/proxy/prefect/version');
    const call = { method: 'GET', path: '/admin/version' };
    for (const status of [503, 404]) {
      c.mock!.fault(() => ({ status, body: '{"detail": "no"}' }));
      await host.get('/proxy/prefect/version');
      c.mock!.reset();
    }
    c.mock!.fault(() => 'reset');
    await host.get('/proxy/prefect/version');
    c.mock!.reset();
    await poll();
    const samples = await scrape();
    for (const outcome of ['2xx', '4xx', '5xx', 'unreachable']) {
      expect(samples.of('prefect_proxy_upstream_calls_total', { ...call, outcome })).toBe(1);
    }
    expect(samples.of('prefect_proxy_upstream_call_duration_seconds_count', call)).toBe(4);
    const read = { method: 'GET', path: '/flow_runs/{}', outcome: '2xx' };
    expect(samples.of('prefect_proxy_upstream_calls_total', read)).toBe(1);
  });

  it('counts repetitions', async () => {
    const retrying = await startFacade(c.apiUrl);
    const asking = new Host(retrying.url);
    let failures = 2;
    c.mock!.fault(() => (failures-- > 0 ? { status: 503 } : undefined));
    expect((await asking.get('/proxy/prefect/version')).status).toBe(200);
    const samples = new Samples((await asking.get('/metrics')).text);
    expect(samples.of('prefect_proxy_upstream_retries_total')).toBe(2);
    await asking.close();
    await retrying.close();
  });

  it('shows the breaker', async () => {
    expect((await scrape()).of('prefect_proxy_upstream_breaker_open')).toBe(0);
    c.mock!.fault(() => ({ status: 500 }));
    for (let n = 0; n < 20; n += 1) await poll();
    const samples = await scrape();
    expect(samples.of('prefect_proxy_upstream_breaker_open')).toBe(1);
    expect(samples.of('prefect_proxy_upstream_breaker_openings_total')).toBe(1);
    const refused = { method: 'GET', path: '/flow_runs/{}', outcome: 'breaker' };
    expect(samples.of('prefect_proxy_upstream_calls_total', refused)).toBe(5);
    // What was not sent has no time.
    const call = { method: 'GET', path: '/flow_runs/{}' };
    expect(samples.of('prefect_proxy_upstream_call_duration_seconds_count', call)).toBe(15);
  });

  it('shows that polls share calls', async () => {
    c.mock!.fault(() => ({ delayMs: 50 }));
    await Promise.all(Array.from({ length: 10 }, () => poll()));
    const samples = await scrape();
    expect(samples.of('prefect_proxy_polls_total')).toBe(10);
    expect(samples.of('prefect_proxy_poll_upstream_calls_total')).toBeLessThan(10);
  });

  it('counts notifications of the webhook', async () => {
    const headers = { 'x-notification-key': `${CANARY}-webhook` };
    await host.post('/webhooks/v1/notification/', { what: 'else' }, { headers });
    const samples = await scrape();
    const name = 'prefect_proxy_webhook_notifications_total';
    expect(samples.of(name, { understood: 'false' })).toBe(1);
    expect(samples.of(name, { understood: 'true' })).toBe(0);
  });

  it('holds no secret, no id and no name, whatever was asked', async () => {
    for (const route of ROUTES) await send(host, route, good);
    await host.get(`/nope/${CANARY}?key=${CANARY}`, { headers: { authorization: `Bearer ${CANARY}` } });
    await host.get(`/proxy/blocks/secret/${CANARY}`);
    const { text } = await host.get('/metrics');
    expect(text).not.toContain(CANARY);
    expect(text).not.toMatch(/[0-9a-f]{8}-[0-9a-f]{4}/);
    expect(text).not.toContain(c.apiUrl);
  });

  it('asks for the key of the API', async () => {
    const locked = await startFacade(c.apiUrl, { PROXY_API_KEY: KEY });
    const asking = new Host(locked.url);
    expect((await asking.get('/metrics')).status).toBe(401);
    expect((await asking.get('/metrics', { headers: { 'x-api-key': KEY } })).status).toBe(200);
    await asking.close();
    await locked.close();
  });
});
