import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadConfig } from '../src/config.js';
import { NO_TELEMETRY, startTelemetry } from '../src/telemetry/telemetry.js';
import { perMinute } from '../src/telemetry/per-minute.js';
import { VERSION } from '../src/version.js';
import { startCollector, type Collector } from './support/collector.js';
import { startFacade, type Facade } from './support/facade.js';
import { Host } from './support/host.js';
import { startIngest, type Ingest } from './support/ingest.js';
import { startMockOrchestrator, type MockOrchestrator } from './support/mock/index.js';
import * as runs from '../src/services/runs.js';

const CANARY = 'cAnArY-3d9b';
const headers = {
  authorization: `Bearer ${CANARY}`,
  cookie: `session=${CANARY}`,
  'x-forwarded-for': CANARY,
  'x-ddp-org': CANARY,
  'user-agent': CANARY,
  baggage: `sentry-user_id=${CANARY},sentry-trace_id=${'a'.repeat(32)}`,
};

// One facade for all: the SDK is set up once a process.
let mock: MockOrchestrator;
let ingest: Ingest;
let collector: Collector;
let facade: Facade;
let host: Host;
beforeAll(async () => {
  mock = await startMockOrchestrator();
  ingest = await startIngest();
  collector = await startCollector();
  facade = await startFacade(mock.url, {
    SENTRY_DSN: ingest.dsn,
    SENTRY_ENVIRONMENT: 'staging',
    SENTRY_TSR: '1',
    SENTRY_PSR: '1',
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    PREFECT_API_RETRY: 'false',
    PREFECT_API_AUTH_STRING: `admin:${CANARY}`,
  });
  host = new Host(facade.url);
});
beforeEach(() => {
  ingest.items.length = 0;
  mock.reset();
  vi.restoreAllMocks();
});
afterAll(async () => {
  await host.close();
  await facade.close();
  await ingest.close();
  await collector.close();
  await mock.close();
});

const eventOf = (id: string) =>
  expect.poll(() =>
    ingest.items.find(({ type, payload }) => type === 'event' && JSON.stringify(payload).includes(id)),
  );

describe('An error of ours', () => {
  it('is reported with where it happened and in which request', async () => {
    const trace = randomBytes(16).toString('hex');
    const reply = await host.get('/sentry-debug', {
      headers: { 'x-request-id': 'try-1', traceparent: `00-${trace}-${'b'.repeat(16)}-01` },
    });
    expect(reply.status).toBe(500);
    const [event] = await ingest.got('event');
    expect(event).toMatchObject({
      level: 'error',
      release: `prefect-proxy@${VERSION}`,
      environment: 'staging',
      transaction: 'GET /sentry-debug',
      tags: { request_id: 'try-1', route: '/sentry-debug', method: 'GET', trace_id: trace },
      contexts: { trace: { trace_id: trace } },
      exception: { values: [{ type: 'Error', value: 'in GET /sentry-debug' }] },
    });
    expect(JSON.stringify(event)).toContain('routes/system.ts');
  });

  it('carries nothing of the request, whatever its text quotes', async () => {
    const failing = vi.spyOn(runs, 'findByName').mockImplementation((_api, _limits, name) => {
      const cause = new SyntaxError(`unexpected "${name}"`, { cause: { name } });
      return Promise.reject(
        Object.assign(new TypeError(`no ${name}`, { cause }), { name2: name, config: { name } }),
      );
    });
    const reply = await host.post(`/proxy/flow_run/?key=${CANARY}`, { name: CANARY }, { headers });
    expect(reply.status).toBe(500);
    expect(failing).toHaveBeenCalledOnce();
    const [event] = await ingest.got('event');
    expect(JSON.stringify(event)).not.toContain(CANARY);
    expect(event).toMatchObject({
      transaction: 'POST /proxy/flow_run/',
      exception: { values: [{ type: 'SyntaxError' }, { type: 'TypeError' }] },
    });
  });

  it.each([[CANARY], [{ secret: CANARY }]])('thrown as %j is one, too', async (thrown) => {
    vi.spyOn(runs, 'findByName').mockImplementation(() => {
      // eslint-disable-next-line @typescript-eslint/only-throw-error -- what a package might do
      throw thrown;
    });
    await host.post(
      '/proxy/flow_run/',
      { name: 'x' },
      { headers: { 'x-request-id': `odd-${typeof thrown}` } },
    );
    await eventOf(`odd-${typeof thrown}`).toBeDefined();
  });
});

it('what is not ours to mend is none: refusals, wrong requests, outages', async () => {
  await host.get(`/nope/${CANARY}`, { headers });
  await host.get(`/proxy/flow_runs/${CANARY}/poll?x=${CANARY}`, { headers });
  await host.post('/proxy/blocks/secret/', { secret: CANARY }, { headers });
  mock.fault(() => ({ status: 500, body: `{"detail":"${CANARY}"}` }));
  expect((await host.get('/proxy/prefect/version', { headers })).status).toBe(502);
  mock.reset();
  mock.fault(() => 'reset');
  expect((await host.get('/proxy/prefect/version', { headers })).status).toBe(503);
  await ingest.got('transaction', 5);
  expect(ingest.items.filter(({ type }) => type === 'event')).toEqual([]);
});

it('its traces and those of the collector are the same ones', async () => {
  const trace = randomBytes(16).toString('hex');
  const parent = randomBytes(8).toString('hex');
  await host.get('/proxy/prefect/version', {
    headers: { ...headers, traceparent: `00-${trace}-${parent}-01` },
  });
  const [transaction] = await ingest.got('transaction');
  expect(transaction).toMatchObject({
    transaction: 'GET /proxy/prefect/version',
    contexts: { trace: { trace_id: trace } },
    spans: [{ trace_id: trace, description: 'GET /admin/version', op: 'http.client' }],
  });
  // Prefect hears of the collector's span.
  const sent = mock.calls[0]!.headers;
  expect(sent['traceparent']).toMatch(new RegExp(`^00-${trace}-[0-9a-f]{16}-01$`));
  expect(Object.keys(sent)).not.toEqual(expect.arrayContaining(['sentry-trace']));
  expect(Object.keys(sent)).not.toEqual(expect.arrayContaining(['baggage']));
});

it('a storm of one kind is a few events', () => {
  let now = 0;
  const may = perMinute(2, () => now);
  expect(['a', 'a', 'a', 'b'].map(may)).toEqual([true, true, false, true]);
  now = 60_000;
  expect(may('a')).toBe(true);
});

it('off, there is nothing', async () => {
  expect(
    await startTelemetry(loadConfig({}), {
      info() {},
      warn() {},
      error() {},
      close: () => Promise.resolve(),
    }),
  ).toBe(NO_TELEMETRY);
});

it('all this has sent no secret, neither to Sentry nor to the collector', async () => {
  await facade.close();
  expect(ingest.received.length).toBeGreaterThan(10);
  expect(ingest.received.filter((text) => text.includes('profile_chunk'))).not.toEqual([]);
  for (const text of [...ingest.received, ...collector.received]) expect(text).not.toContain(CANARY);
});
