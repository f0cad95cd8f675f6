import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startFacade, type Facade } from './support/facade.js';
import { Host } from './support/host.js';
import { startMockOrchestrator, type MockOrchestrator } from './support/mock/index.js';

let mock: MockOrchestrator;
let facade: Facade;
let host: Host;
let closed: Promise<void> | undefined;
beforeEach(async () => {
  mock = await startMockOrchestrator();
  facade = await startFacade(mock.url, { PREFECT_API_RETRY: 'false' });
  host = new Host(facade.url);
  closed = undefined;
});
afterEach(async () => {
  await host.close();
  await (closed ?? facade.close());
  await mock.close();
});

const version = (from = host) => from.get('/proxy/prefect/version');
const close = () => (closed = facade.close());
/** Far below the seconds after which idle connections end by themselves. */
const within = (end: Promise<void>) =>
  Promise.race([end.then(() => 'closed'), sleep(1_500, 'still waiting', { ref: false })]);
const upstreamAt = (count: number) => expect.poll(() => mock.inFlight(), { interval: 5 }).toBe(count);

describe('close', () => {
  it('finishes what is in flight', async () => {
    mock.fault(() => ({ delayMs: 200 }));
    const replies = Array.from({ length: 5 }, () => version());
    await upstreamAt(5);
    const ended = close();
    expect((await Promise.all(replies)).map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    await ended;
    expect(mock.inFlight()).toBe(0);
    expect(facade.lines.filter(({ message }) => message === 'request')).toHaveLength(5);
  });

  it('takes no new requests, on no connection', async () => {
    // Leaves a connection open that is used again.
    await version();
    mock.fault(() => ({ delayMs: 200 }));
    const last = version();
    await upstreamAt(1);
    const ended = close();
    const other = new Host(facade.url);
    await expect(version(other)).rejects.toThrow();
    expect((await last).status).toBe(200);
    await ended;
    await expect(version()).rejects.toThrow();
    await other.close();
    expect(mock.calls).toHaveLength(2);
  });

  it('does not wait for connections that idle', async () => {
    await Promise.all([version(), version(), version()]);
    expect(await within(close())).toBe('closed');
  });

  it('does not wait for connections that were busy and idle now', async () => {
    mock.fault(() => ({ delayMs: 100 }));
    const last = version();
    await upstreamAt(1);
    const ended = close();
    expect((await last).status).toBe(200);
    expect(await within(ended)).toBe('closed');
  });

  it('does not wait for connections that never say anything', async () => {
    const { hostname, port } = new URL(facade.url);
    const silent = connect(Number(port), hostname);
    await once(silent, 'connect');
    await version();
    try {
      expect(await within(close())).toBe('closed');
    } finally {
      silent.destroy();
    }
  });

  it('ends also where a host polls on and on over its connection', async () => {
    mock.fault(() => ({ delayMs: 100 }));
    const last = version();
    await upstreamAt(1);
    const ended = close();
    await last;
    mock.reset();
    let served = 0;
    while (
      served < 50 &&
      (await version().then(
        () => true,
        () => false,
      ))
    )
      served += 1;
    expect(served).toBeLessThan(50);
    await ended;
  });

  it('waits for an outage no longer than its deadline', async () => {
    const slow = await startFacade(mock.url, { PREFECT_API_TIMEOUT: '0.2' });
    const slowHost = new Host(slow.url);
    mock.fault(() => 'hang');
    const reply = version(slowHost);
    await upstreamAt(1);
    const ended = slow.close();
    expect((await reply).status).toBe(504);
    await ended;
    await slowHost.close();
  });

  it('leaves no connection to the orchestrator', async () => {
    await version();
    await close();
    await upstreamAt(0);
    // It would wait for connections that are still open.
    await mock.close();
    mock = await startMockOrchestrator();
  });

  it('can be asked for twice', async () => {
    const ended = close();
    await expect(Promise.all([ended, facade.close()])).resolves.toBeDefined();
  });
});
