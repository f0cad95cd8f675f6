import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Metrics } from '../../src/metrics/metrics.js';
import { NO_TELEMETRY } from '../../src/telemetry/telemetry.js';
import { Tracing, type Begin, type Span, type SpanAbout } from '../../src/telemetry/tracing.js';
import { COMPLETED } from '../support/seed.js';
import { bendTime, startRig, type Rig } from '../support/settlement/rig.js';
import { holder } from '../support/settlement/things.js';

/** So seldom that nothing comes of it. */
const NEVER = '86400';

let rig: Rig;
beforeEach(async () => {
  bendTime();
  rig = await startRig();
  rig.mock.events.refuse(true);
});
afterEach(async () => {
  await rig.close();
  vi.useRealTimers();
});

describe('The numbers of settlement', () => {
  /** The value of one line of the scrape. */
  const scrape = async (metrics: Metrics) => {
    const lines = (await metrics.text()).split('\n').filter((line) => !line.startsWith('#'));
    const numbers = new Map(
      lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]),
    );
    return (name: string) => numbers.get(`prefect_proxy_${name}`);
  };

  it('say what the host answered, how long it took until it heard, and who leads', async () => {
    const metrics = new Metrics();
    const settling = rig.start({ RECONCILE_INTERVAL: NEVER }, { metrics });
    await rig.passUntil(async () => (await rig.variable())?.leader, 0);
    rig.host.answer = () => ({ status: 500 });
    const id = await holder(rig.seed, { states: [COMPLETED] });
    settling.hint({ flowRunId: id });
    await rig.labelled(id, 'delivery');
    const before = await scrape(metrics);
    expect(before('deliveries_pending')).toBe(1);
    expect(before('delivery_failures_total')).toBe(1);
    expect(before('deliveries_total')).toBe(0);
    expect(before('cleanups_total')).toBe(1);

    rig.host.answer = () => ({ status: 200 });
    await rig.passUntil(() => rig.host.posts.length === 2, 1);
    await rig.labelled(id, 'settled');
    await rig.passUntil(async () => (await scrape(metrics))('deliveries_pending') === 0, 1);
    const after = await scrape(metrics);
    expect(after('delivery_attempts_total{answer="5xx"}')).toBe(1);
    expect(after('delivery_attempts_total{answer="2xx"}')).toBe(1);
    expect(after('delivery_latency_seconds_count')).toBe(1);
    // The second attempt comes some five seconds after the first one.
    expect(after('delivery_latency_seconds_sum')).toBeGreaterThan(3);
    expect(after('deliveries_total')).toBe(1);
    expect(after('deliveries_dead_total')).toBe(0);
    expect(after('reconciler_leader')).toBe(1);
    expect(after('sweeps_total{outcome="done"}')).toBe(1);
  });

  it('say that a delivery was given up', async () => {
    const metrics = new Metrics();
    const settling = rig.start({ RECONCILE_INTERVAL: NEVER }, { metrics });
    rig.host.answer = () => ({ status: 410 });
    const id = await holder(rig.seed, { states: [COMPLETED] });
    settling.hint({ flowRunId: id });
    await rig.passUntil(async () => (await scrape(metrics))('deliveries_dead_total') === 1, 1);
    expect((await scrape(metrics))('delivery_latency_seconds_count')).toBe(0);
  });
});

describe('The trace of a settlement', () => {
  it('reaches the calls to the orchestrator, and the host', async () => {
    const begun: string[] = [];
    const ended: string[] = [];
    let spans = 0;
    const spanOf = (about: SpanAbout, above: string): Span => {
      const spanId = String((spans += 1)).padStart(16, '0');
      const name = `${above}${about.name}`;
      begun.push(name);
      const traceparent = `00-${'a'.repeat(32)}-${spanId}-01`;
      return {
        traceId: 'a'.repeat(32),
        spanId,
        headers: { traceparent },
        child: (below) => spanOf(below, `${name} > `),
        end: () => ended.push(name),
      };
    };
    const begin: Begin = (about) => spanOf(about, '');
    const telemetry = { ...NO_TELEMETRY, tracing: new Tracing(begin) };
    const settling = rig.start({ RECONCILE_INTERVAL: NEVER }, { telemetry });
    await rig.passUntil(async () => (await rig.variable())?.leader, 0);
    const id = await holder(rig.seed, { states: [COMPLETED] });
    settling.hint({ flowRunId: id });
    await rig.passUntil(() => rig.host.posts.length > 0, 0.1);
    await rig.labelled(id, 'settled', 'cleaned');
    await settling.close();
    expect(rig.host.posts[0]!.headers['traceparent']).toMatch(/^00-a{32}-\d{16}-01$/);
    const calls = rig.mock.calls.filter(({ headers }) => headers['traceparent'] !== undefined);
    expect(calls.map(({ path }) => path)).toContain(`/flow_runs/${id}`);
    expect(begun.join()).not.toContain(id);
    expect(ended.sort()).toEqual(begun.sort());
  });
});
