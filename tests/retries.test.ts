import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { contract, lastUpstreamCalls } from './support/contract.js';
import { startFacade, type Facade } from './support/facade.js';
import { Host } from './support/host.js';
import type { Fault, RecordedCall } from './support/mock/index.js';
import { ROUTES, makeGood, send, type Good, type RouteCase } from './support/all-routes.js';

const c = contract({ PREFECT_API_RETRY_DELAY: '0.001' });
let good: Good;
beforeAll(async () => {
  good = await makeGood(c.host, c.seed);
});
beforeEach(async () => {
  c.mock!.reset();
  // Ends any row of failures, so that the breaker stays closed.
  expect((await c.host.get('/proxy/prefect/version')).status).toBe(200);
  c.mock!.reset();
});

const LOCKED = { status: 503, body: '{"exception_message":"Service Unavailable"}' };
const callsOf = (last: string) => c.mock!.calls.filter(({ path }) => path.endsWith(last));

/** Fails the first `times` calls that fit. */
function failFirst(
  times: number,
  fault: ReturnType<Fault>,
  fits: (call: RecordedCall) => boolean = () => true,
): void {
  let left = times;
  c.mock!.fault((call) => (fits(call) && left-- > 0 ? fault : undefined));
}

/** Mulberry32: the same numbers in each run. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

describe('An orchestrator that answers 503 one time in three', () => {
  const reads = ['pollRun', 'getRun', 'listFinishedRuns', 'getRunGraph', 'listRunLogs', 'listRunLogsByNode'];
  const chosen = ROUTES.filter(({ id }) => reads.includes(id));

  /** Ten at once, ten times. */
  async function readAll(route: RouteCase): Promise<void> {
    for (let n = 0; n < 10; n += 1) {
      const replies = await Promise.all(Array.from({ length: 10 }, () => send(c.host, route, good)));
      expect(replies.map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => 200));
    }
  }

  it.each(chosen)('every third time: 100 of 100 $id', async (route) => {
    let count = 0;
    c.mock!.fault(() => (++count % 3 === 0 ? LOCKED : undefined));
    await readAll(route);
  });

  it.each(chosen)('at random: 100 of 100 $id', async (route) => {
    const random = seeded(42);
    c.mock!.fault(() => (random() < 1 / 3 ? LOCKED : undefined));
    await readAll(route);
  });
});

describe('What is repeated', () => {
  const poll = () => c.host.get(`/proxy/flow_runs/${good.run}/poll`);
  const wrongShape = { status: 200, body: '<html>' };

  it.each([
    ['503', LOCKED],
    ['502', { status: 502 }],
    ['504', { status: 504 }],
    ['429', { status: 429 }],
    ['a reset', 'reset'],
    ['a cut reply', 'truncate'],
    ['a reply that is no JSON', wrongShape],
  ] as const)('a read after %s', async (_what, fault) => {
    failFirst(2, fault);
    expect((await poll()).status).toBe(200);
    expect(c.mock!.calls).toHaveLength(3);
    expect(lastUpstreamCalls(c.facade)).toBe(3);
  });

  it.each([400, 401, 403, 404, 409, 422, 500])('not a read after %d', async (status) => {
    failFirst(1, { status, body: '{"detail":"no"}' });
    expect((await poll()).status).not.toBe(200);
    expect(c.mock!.calls).toHaveLength(1);
  });

  const unsafe: [string, () => Promise<{ status: number }>][] = [
    ['retry', () => c.host.post(`/proxy/flow_runs/${good.run}/retry`, { minutes: 1 })],
    [
      'set_state',
      async () => {
        const id = await c.seed.flowRun();
        c.mock!.calls.length = 0;
        const state = { name: 'Cancelling', type: 'CANCELLING' };
        return c.host.post(`/proxy/flow_runs/${id}/set_state`, { state, force: 'True' });
      },
    ],
  ];
  describe.each(unsafe)('%s', (_name, act) => {
    it.each([
      ['503', LOCKED],
      ['502', { status: 502 }],
      ['a reset', 'reset'],
      ['a cut reply', 'truncate'],
      ['a login page', wrongShape],
    ] as const)('is sent once after %s', async (_what, fault) => {
      failFirst(
        1,
        fault,
        ({ path, headers }) => path.endsWith('/set_state') && headers['user-agent'] !== 'node',
      );
      const { status } = await act();
      expect(status).toBeGreaterThanOrEqual(502);
      expect(callsOf('/set_state').filter(({ headers }) => headers['user-agent'] !== 'node')).toHaveLength(1);
    });
  });

  it.each([
    ['503', LOCKED],
    ['a reset', 'reset'],
    ['a cut reply', 'truncate'],
  ] as const)('a new run after %s, with the same key, and there is one run', async (_what, fault) => {
    for (const route of ROUTES.filter(({ id }) => id === 'runDeployment' || id === 'scheduleRun')) {
      c.mock!.reset();
      failFirst(2, fault, ({ path }) => path.endsWith('/create_flow_run'));
      const reply = await send(c.host, route, good);
      expect(reply.status).toBe(200);
      const keys = callsOf('/create_flow_run').map(
        ({ body }) => (body as Record<string, unknown>)['idempotency_key'],
      );
      expect(keys).toHaveLength(3);
      expect(new Set(keys).size).toBe(1);
      expect(keys[0]).toEqual(expect.stringMatching(/.{16,}/));
      const runs = await c.seed.call('POST', '/flow_runs/filter', {
        flow_runs: { idempotency_key: { any_: [keys[0]] } },
      });
      expect(runs).toMatchObject([{ id: (reply.json as Record<string, unknown>)['flow_run_id'] }]);
    }
  });

  it('two requests are two runs', async () => {
    const start = () => c.host.post(`/proxy/deployments/${good.deployment}/flow_run`, {});
    const [first, second] = await Promise.all([start(), start()]);
    expect((first.json as { flow_run_id: string }).flow_run_id).not.toBe(
      (second.json as { flow_run_id: string }).flow_run_id,
    );
  });

  it.each(['reset', 'truncate'] as const)('a deletion after %s, which then finds nothing', async (fault) => {
    const id = await c.seed.flowRun();
    c.mock!.reset();
    let attempt = 0;
    // The first one is done, but its reply is lost.
    c.mock!.fault(({ method }) => {
      if (method !== 'DELETE') return undefined;
      attempt += 1;
      return attempt === 1 ? fault : { status: 404, body: '{"detail":"Flow run not found"}' };
    });
    expect(await c.host.delete(`/proxy/flow_runs/${id}`)).toMatchObject({
      status: 200,
      json: { success: 1 },
    });
    expect(attempt).toBe(2);
  });

  it('not a deletion of what is not there', async () => {
    const reply = await c.host.delete('/proxy/flow_runs/00000000-0000-4000-8000-000000000000');
    expect(reply.status).toBe(404);
    expect(c.mock!.calls).toHaveLength(1);
  });
});

describe('How often and how long', () => {
  let facade: Facade;
  let host: Host;
  const poll = () => host.get(`/proxy/flow_runs/${good.run}/poll`);
  // Each one of its own: their failures add up in the breaker.
  async function fresh(env: Record<string, string>): Promise<void> {
    facade = await startFacade(c.apiUrl, env);
    host = new Host(facade.url);
  }
  afterEach(async () => {
    await host.close();
    await facade.close();
  });

  it('PREFECT_API_RETRY=false sends once', async () => {
    await fresh({ PREFECT_API_RETRY: 'false' });
    c.mock!.fault(() => LOCKED);
    expect((await poll()).status).toBe(503);
    expect(c.mock!.calls).toHaveLength(1);
  });

  it('one request is repeated ten times at most', async () => {
    await fresh({ PREFECT_API_RETRY_DELAY: '0' });
    c.mock!.fault(() => LOCKED);
    expect((await poll()).status).toBe(503);
    expect(c.mock!.calls).toHaveLength(11);
  });

  it('Retry-After is waited for', async () => {
    await fresh({});
    failFirst(1, { ...LOCKED, headers: { 'retry-after': '1' } });
    const started = performance.now();
    expect((await poll()).status).toBe(200);
    // Timers may fire a little early; without the header it is 10 ms.
    expect(performance.now() - started).toBeGreaterThan(900);
  });

  it('a Retry-After beyond the deadline is passed on at once', async () => {
    await fresh({});
    c.mock!.fault(() => ({ ...LOCKED, headers: { 'retry-after': '60' } }));
    expect(await poll()).toMatchObject({ status: 503, headers: { 'retry-after': '60' } });
    expect(c.mock!.calls).toHaveLength(1);
  });

  it.each(['soon', '-1', '1.5', '9'.repeat(400), 'Wed, 21 Oct 2015 07:28:00 GMT', ''])(
    'an odd Retry-After (%s) does no harm',
    async (value) => {
      await fresh({ PREFECT_API_RETRY: 'false' });
      c.mock!.fault(() => ({ ...LOCKED, headers: { 'retry-after': value } }));
      const reply = await poll();
      expect(reply.status).toBe(503);
      expect(reply.headers['retry-after']).toMatch(/^\d{1,6}$/);
    },
  );

  it('a Retry-After that is over does not mean at once, again and again', async () => {
    await fresh({ PREFECT_API_RETRY_DELAY: '60' });
    c.mock!.fault(() => ({ ...LOCKED, headers: { 'retry-after': '0' } }));
    expect((await poll()).status).toBe(503);
    expect(c.mock!.calls.length).toBeLessThanOrEqual(11);
  });

  it('ends with the deadline', async () => {
    await fresh({ PREFECT_API_TIMEOUT: '0.4', PREFECT_API_RETRY_DELAY: '0.2' });
    c.mock!.fault(() => LOCKED);
    expect((await poll()).status).toBe(503);
    // Nothing is sent after the reply.
    const { length } = c.mock!.calls;
    await host.get('/healthz');
    expect(c.mock!.calls).toHaveLength(length);
  });
});
