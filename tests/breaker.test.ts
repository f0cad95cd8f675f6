import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { contract } from './support/contract.js';
import { startFacade, type Facade } from './support/facade.js';
import { Host } from './support/host.js';
import { ROUTES, detailOf, makeGood, send, type Good } from './support/all-routes.js';

const c = contract();
let good: Good;
let facade: Facade;
let host: Host;
beforeAll(async () => {
  good = await makeGood(c.host, c.seed);
});
beforeEach(async () => {
  // An open breaker lets a call try each second, however slow this machine is.
  vi.useFakeTimers({ toFake: ['performance'] });
  c.mock!.reset();
  facade = await startFacade(c.apiUrl, { PREFECT_API_RETRY: 'false' });
  host = new Host(facade.url);
});
afterEach(async () => {
  vi.useRealTimers();
  await host.close();
  await facade.close();
});

const poll = () => host.get(`/proxy/flow_runs/${good.run}/poll`);
const FAILURES = 30;
type Answer = 'reset' | { status: number; body?: string };
function answers(fault: Answer): void {
  c.mock!.fault(() => fault);
}
async function failTimes(fault: Answer): Promise<void> {
  answers(fault);
  for (let n = 0; n < FAILURES; n += 1) await poll();
}

const aSecondLater = () => vi.advanceTimersByTime(1_000);

describe('The breaker', () => {
  it.each([
    ['503', { status: 503 }],
    ['500', { status: 500 }],
    ['a login page', { status: 200, body: '<html>' }],
    ['resets', 'reset'],
  ] as const)('opens after many failures in a row: %s', async (_what, fault) => {
    await failTimes(fault);
    expect(c.mock!.calls.length).toBeLessThan(FAILURES);
    c.mock!.reset();
    const reply = await poll();
    expect(reply).toMatchObject({ status: 503, json: { code: 'orchestrator_unavailable' } });
    expect(reply.headers['retry-after']).toBe('1');
    expect(c.mock!.calls).toEqual([]);
  });

  it('once open, answers on every route without asking', async () => {
    await failTimes({ status: 503 });
    c.mock!.reset();
    for (const route of ROUTES) {
      expect(await send(host, route, good)).toMatchObject({
        status: 503,
        json: { detail: detailOf(route, good) },
      });
    }
    expect(c.mock!.calls).toEqual([]);
  });

  it.each([400, 401, 403, 404, 409, 422, 429])('never opens on %d', async (status) => {
    await failTimes({ status, body: '{"detail":"no"}' });
    expect(c.mock!.calls).toHaveLength(FAILURES);
    c.mock!.reset();
    expect((await poll()).status).toBe(200);
  });

  it('does not open where a call in between succeeds', async () => {
    let count = 0;
    c.mock!.fault(() => (++count % 5 === 0 ? undefined : { status: 503 }));
    for (let n = 0; n < 60; n += 1) await poll();
    expect(c.mock!.calls).toHaveLength(60);
  });

  it('closes when the orchestrator is well again', async () => {
    await failTimes({ status: 503 });
    c.mock!.reset();
    aSecondLater();
    expect((await poll()).status).toBe(200);
    expect((await poll()).status).toBe(200);
    expect(c.mock!.calls).toHaveLength(2);
  });

  it('lets one call a second try, and stays open while it fails', async () => {
    await failTimes({ status: 503 });
    c.mock!.reset();
    answers({ status: 503 });
    aSecondLater();
    const versions = await Promise.all(Array.from({ length: 5 }, () => host.get('/proxy/prefect/version')));
    expect(versions.map(({ status }) => status)).toEqual([503, 503, 503, 503, 503]);
    expect(c.mock!.calls).toHaveLength(1);
    await poll();
    expect(c.mock!.calls).toHaveLength(1);
    aSecondLater();
    await poll();
    expect(c.mock!.calls).toHaveLength(2);
  });

  it('is closed by the next try while one hangs', async () => {
    await failTimes({ status: 503 });
    c.mock!.reset();
    aSecondLater();
    let answer: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (answer = resolve));
    c.mock!.fault(({ path }) => (path.endsWith('/version') ? { until: held } : undefined));
    const hanging = host.get('/proxy/prefect/version');
    await expect.poll(() => c.mock!.inFlight(), { interval: 5 }).toBe(1);
    expect((await poll()).status).toBe(503);
    aSecondLater();
    expect((await poll()).status).toBe(200);
    expect((await poll()).status).toBe(200);
    answer();
    expect((await hanging).status).toBe(200);
  });

  it('is not opened by what was sent before the orchestrator answered again', async () => {
    const late: (() => void)[] = [];
    c.mock!.fault(({ path }) =>
      path.endsWith('/version')
        ? { status: 503, until: new Promise((resolve) => late.push(resolve)) }
        : undefined,
    );
    const old = Array.from({ length: FAILURES }, () => host.get('/proxy/prefect/version'));
    await expect.poll(() => late.length, { interval: 5 }).toBe(FAILURES);
    aSecondLater();
    expect((await poll()).status).toBe(200);
    for (const fail of late) fail();
    expect(new Set((await Promise.all(old)).map(({ status }) => status))).toEqual(new Set([503]));
    expect((await poll()).status).toBe(200);
  });

  it('closes after a try that got a 404: the orchestrator is there', async () => {
    await failTimes({ status: 503 });
    c.mock!.reset();
    aSecondLater();
    expect((await host.get('/proxy/flow_runs/00000000-0000-4000-8000-000000000000/poll')).status).toBe(404);
    expect((await poll()).status).toBe(200);
  });
});
