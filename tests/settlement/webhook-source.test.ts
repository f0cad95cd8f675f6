import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startReceiver, type Receiver } from '../support/receiver.js';
import { bendTime, startRig, type Instance, type Rig } from '../support/settlement/rig.js';

const KEY = 'webhook-key-of-prefect';

let rig: Rig;
let receiver: Receiver;
beforeEach(async () => {
  bendTime();
  rig = await startRig();
  receiver = await startReceiver();
});
afterEach(async () => {
  await rig.close();
  await receiver.close();
  vi.useRealTimers();
  expect(rig.mock.unexpected).toEqual([]);
});

const start = (env: Record<string, string> = {}): Instance => {
  const instance = rig.start({
    PREFECT_NOTIFICATIONS_WEBHOOK_KEY: KEY,
    WEBHOOK_PUBLIC_URL: receiver.url,
    PREFECT_API_RETRY: 'false',
    ...env,
  });
  instance.listening('http://127.0.0.1:8080');
  return instance;
};
const automations = async () => {
  const found = await rig.seed.call('POST', '/automations/filter', {});
  return Array.isArray(found) ? found.length : NaN;
};
const isLogged = ({ lines }: Instance, event: string) => lines.some((line) => line['event'] === event);
const eventsOpen = () => rig.passUntil(() => rig.mock.events.listening() === 1, 0);
const pass = (seconds: number) => {
  const until = Date.now() + seconds * 1000;
  return rig.passUntil(() => Date.now() >= until, 2);
};

describe("Prefect's webhook by default", () => {
  it('is not registered while the events websocket is open', async () => {
    start();
    await eventsOpen();
    await pass(120);
    expect(await automations()).toBe(0);
  });

  it('is removed when an earlier start registered it, and the log says so', async () => {
    const before = start({ WEBHOOK_AUTO_REGISTER: 'true' });
    await rig.passUntil(async () => (await automations()) === 1, 0);
    await before.close();
    const instance = start();
    await rig.passUntil(async () => (await automations()) === 0, 0);
    expect(isLogged(instance, 'webhook.removed')).toBe(true);
  });

  it('is registered when the events websocket cannot be opened although Prefect answers', async () => {
    rig.mock.events.refuse(true);
    const instance = start();
    await rig.passUntil(async () => (await automations()) === 1, 1);
    expect(isLogged(instance, 'webhook.fallback')).toBe(true);
  });

  it('is removed again once the events websocket has been open for a minute', async () => {
    rig.mock.events.refuse(true);
    const instance = start();
    await rig.passUntil(async () => (await automations()) === 1, 1);
    rig.mock.events.refuse(false);
    await rig.passUntil(() => rig.mock.events.listening() === 1, 2);
    await pass(40);
    expect(await automations()).toBe(1);
    await rig.passUntil(async () => (await automations()) === 0, 2);
    expect(isLogged(instance, 'webhook.removed')).toBe(true);
  });

  it('is not registered because Prefect is away', async () => {
    rig.mock.events.refuse(true);
    rig.mock.fault(() => ({ status: 503, body: '{"exception_message":"Service Unavailable"}' }));
    const instance = start();
    await pass(120);
    expect(isLogged(instance, 'webhook.fallback')).toBe(false);
  });
});

describe('WEBHOOK_AUTO_REGISTER', () => {
  it('registers the webhook at each start when it is true, and leaves it there', async () => {
    start({ WEBHOOK_AUTO_REGISTER: 'true' });
    await eventsOpen();
    await rig.passUntil(async () => (await automations()) === 1, 0);
    await pass(120);
    expect(await automations()).toBe(1);
  });

  it('leaves what is registered alone when it is false', async () => {
    const before = start({ WEBHOOK_AUTO_REGISTER: 'true' });
    await rig.passUntil(async () => (await automations()) === 1, 0);
    await before.close();
    start({ WEBHOOK_AUTO_REGISTER: 'false' });
    await eventsOpen();
    await pass(120);
    expect(await automations()).toBe(1);
  });
});

describe('A lost events websocket', () => {
  it('is followed by a sweep at once, which finds what ended meanwhile', async () => {
    start({ RECONCILE_INTERVAL: '86400' });
    await eventsOpen();
    await rig.passUntil(() => rig.variable(), 0);
    rig.mock.calls.length = 0;
    rig.mock.events.cut();
    await rig.passUntil(() => rig.mock.events.listening() === 1, 1);
    const isSweep = ({ path }: { path: string }) => path.includes('/flow_runs/filter');
    await rig.passUntil(() => rig.mock.calls.some(isSweep), 0);
    expect(rig.mock.calls.filter(isSweep).length).toBeGreaterThan(0);
  });
});
