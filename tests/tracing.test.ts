import { randomBytes } from 'node:crypto';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startCollector, type Collector } from './support/collector.js';
import { startFacade, type Facade } from './support/facade.js';
import { Host } from './support/host.js';
import { startMockOrchestrator, type MockOrchestrator } from './support/mock/index.js';
import { COMPLETED, Seed } from './support/seed.js';

const CANARY = 'cAnArY-7a2c';
const SERVER = 2;
const CLIENT = 3;
const ERROR = 2;
const ids = () => ({ trace: randomBytes(16).toString('hex'), span: randomBytes(8).toString('hex') });
const sent = ({ trace, span }: ReturnType<typeof ids>, flags = '01') => `00-${trace}-${span}-${flags}`;

let mock: MockOrchestrator;
let collector: Collector;
let facade: Facade;
let host: Host;
let flowRunId: string;
beforeEach(async () => {
  mock = await startMockOrchestrator();
  collector = await startCollector();
  flowRunId = await new Seed(mock.url).flowRun({ state: COMPLETED });
  mock.reset();
});
afterEach(async () => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  await host.close();
  await facade.close();
  await collector.close();
  await mock.close();
});

async function start(env: Record<string, string> = {}): Promise<void> {
  facade = await startFacade(mock.url, { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, ...env });
  host = new Host(facade.url);
}
/** Ends the facade: all its spans are out then. */
const flushed = () => facade.close();
const traceparents = () => mock.calls.map(({ headers }) => headers['traceparent']);

describe('A request of a host that traces', () => {
  it('its trace goes on here and at Prefect', async () => {
    await start();
    const given = ids();
    const headers = { traceparent: sent(given), tracestate: 'vendor=1' };
    await host.get(`/proxy/flow_runs/${flowRunId}/poll`, { headers });
    await flushed();
    const [request] = collector.spans.filter(({ kind }) => kind === SERVER);
    expect(request).toMatchObject({
      traceId: given.trace,
      parentSpanId: given.span,
      name: 'GET /proxy/flow_runs/{flow_run_id}/poll',
      attributes: {
        'http.request.method': 'GET',
        'http.route': '/proxy/flow_runs/{flow_run_id}/poll',
        'http.response.status_code': 200,
      },
      resource: { 'service.name': 'prefect-proxy' },
    });
    const [call, ...others] = collector.childrenOf(request!);
    expect(others).toEqual([]);
    expect(call).toMatchObject({
      traceId: given.trace,
      kind: CLIENT,
      name: 'GET /flow_runs/{}',
      attributes: {
        'url.template': '/flow_runs/{}',
        'http.request.method': 'GET',
        'http.response.status_code': 200,
        'server.address': '127.0.0.1',
        'server.port': Number(new URL(mock.url).port),
      },
    });
    expect(traceparents()).toEqual([`00-${given.trace}-${call!.spanId}-01`]);
    expect(mock.calls[0]!.headers['tracestate']).toBe('vendor=1');
    expect(facade.lines.find(({ message }) => message === 'request')!['trace_id']).toBe(given.trace);
  });

  it('polls that are answered together: each call belongs to one of the traces', async () => {
    await start();
    const all = Array.from({ length: 20 }, ids);
    await Promise.all(
      all.map((given) =>
        host.get(`/proxy/flow_runs/${flowRunId}/poll`, { headers: { traceparent: sent(given) } }),
      ),
    );
    await flushed();
    expect(collector.spans.filter(({ kind }) => kind === SERVER)).toHaveLength(20);
    for (const call of collector.spans.filter(({ kind }) => kind === CLIENT)) {
      expect(traceparents()).toContain(`00-${call.traceId}-${call.spanId}-01`);
      expect(all.map(({ trace }) => trace)).toContain(call.traceId);
    }
  });

  it('one that does not want it recorded is not, and Prefect hears so', async () => {
    await start();
    const given = ids();
    await host.get(`/proxy/flow_runs/${flowRunId}/poll`, { headers: { traceparent: sent(given, '00') } });
    await flushed();
    expect(collector.spans).toEqual([]);
    expect(traceparents()).toEqual([expect.stringMatching(`^00-${given.trace}-[0-9a-f]{16}-00$`)]);
  });

  it.each(['', 'nonsense', `00-${'0'.repeat(32)}-${'1'.repeat(16)}-01`, `00-${'z'.repeat(32)}-1-01`])(
    'a traceparent %j is none: a trace of its own begins',
    async (traceparent) => {
      await start();
      const reply = await host.get('/healthz', { headers: { traceparent } });
      await flushed();
      expect(reply.status).toBe(200);
      expect(collector.spans).toEqual([
        expect.objectContaining({ traceId: expect.stringMatching(/^[0-9a-f]{32}$/) as string }),
      ]);
      expect(collector.spans[0]!.parentSpanId).toBeUndefined();
      expect(traceparent).not.toContain(collector.spans[0]!.traceId);
    },
  );
});

it('each attempt at a call has a span', async () => {
  await start();
  let failures = 2;
  mock.fault(() => (failures-- > 0 ? { status: 503, body: '{"detail":"locked"}' } : undefined));
  await host.get(`/proxy/flow_runs/${flowRunId}/poll`);
  await flushed();
  const calls = collector.spans.filter(({ kind }) => kind === CLIENT);
  expect(
    calls.map(({ attributes, status }) => [attributes['http.response.status_code'], status.code]),
  ).toEqual([
    [503, ERROR],
    [503, ERROR],
    [200, 0],
  ]);
  expect(traceparents()).toEqual(calls.map(({ traceId, spanId }) => `00-${traceId}-${spanId}-01`));
});

it('a failure is seen in both spans', async () => {
  await start({ PREFECT_API_RETRY: 'false' });
  mock.fault(() => 'reset');
  await host.get(`/proxy/flow_runs/${flowRunId}/poll`);
  await flushed();
  expect(
    collector.spans.map(({ kind, status, attributes }) => [kind, status.code, attributes['error.type']]),
  ).toEqual([
    [CLIENT, ERROR, 'unreachable'],
    [SERVER, ERROR, '503'],
  ]);
});

it('a stream of events is over when its reader is', async () => {
  await start();
  const leave = new AbortController();
  const reply = await fetch(`${facade.url}/proxy/v1/flow_runs/${flowRunId}/events`, { signal: leave.signal });
  await reply.body!.getReader().read();
  expect(facade.lines.filter(({ message }) => message === 'request')).toEqual([]);
  leave.abort();
  await expect.poll(() => facade.lines.filter(({ message }) => message === 'request').length).toBe(1);
  await flushed();
  const [request] = collector.spans.filter(({ kind }) => kind === SERVER);
  expect(request!.name).toBe('GET /proxy/v1/flow_runs/{flow_run_id}/events');
  expect(collector.childrenOf(request!).length).toBeGreaterThan(0);
});

it('nothing of a path, a query, a header or a body is in a span', async () => {
  await start();
  await host.get(`/proxy/blocks/secret/${CANARY}?key=${CANARY}`, {
    headers: { authorization: CANARY, cookie: CANARY },
  });
  await host.post('/proxy/blocks/secret/', { blockName: CANARY, secret: CANARY });
  await host.get(`/nope/${CANARY}`);
  await flushed();
  expect(collector.spans.length).toBeGreaterThan(5);
  expect(collector.received.join()).not.toContain(CANARY);
});

it('off, nothing is traced and nothing is added to what Prefect is sent', async () => {
  facade = await startFacade(mock.url);
  host = new Host(facade.url);
  await host.get(`/proxy/flow_runs/${flowRunId}/poll`, { headers: { traceparent: sent(ids()) } });
  expect(mock.calls).toHaveLength(1);
  expect(traceparents()).toEqual([undefined]);
  expect(facade.lines[0]).not.toHaveProperty('trace_id', expect.any(String));
});

it('a collector that is down is said once, and hurts no request', async () => {
  vi.stubEnv('OTEL_EXPORTER_OTLP_TIMEOUT', '50');
  vi.stubEnv('OTEL_BSP_SCHEDULE_DELAY', '1');
  vi.stubEnv('OTEL_BSP_MAX_EXPORT_BATCH_SIZE', '1');
  await collector.close();
  await start();
  const send = vi.spyOn(OTLPTraceExporter.prototype, 'export');
  for (let sentTimes = 1; sentTimes <= 3; sentTimes += 1) {
    expect((await host.get('/healthz')).status).toBe(200);
    await expect.poll(() => send.mock.calls.length).toBe(sentTimes);
  }
  await flushed();
  expect(facade.lines.filter(({ level }) => level !== 'info')).toEqual([
    {
      level: 'warn',
      message: 'spans lost: the collector does not take them',
      spans: 1,
      error: expect.any(String) as string,
    },
  ]);
});
