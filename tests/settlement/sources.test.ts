import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadConfig } from '../../src/config.js';
import { EventStream } from '../../src/prefect/event-stream.js';
import { serve } from '../../src/serve.js';
import { Host } from '../support/host.js';
import { COMPLETED, FAILED, RUNNING, SCHEDULED } from '../support/seed.js';
import { bendTime, startRig, VARIABLE_PATH, type Instance, type Rig } from '../support/settlement/rig.js';
import { holder } from '../support/settlement/things.js';
import { startWire, type Wire } from '../support/settlement/wire.js';

/** So seldom that nothing comes of it. */
const NEVER = '86400';
const HOUR = 3_600_000;

let rig: Rig;
const wires: Wire[] = [];
beforeEach(async () => {
  bendTime();
  rig = await startRig();
});
afterEach(async () => {
  for (const wire of wires) wire.become('whole');
  await rig.close();
  for (const wire of wires.splice(0)) await wire.close();
  vi.useRealTimers();
  expect(rig.mock.unexpected).toEqual([]);
});

const wireTo = async (url: string) => {
  const wire = await startWire(url);
  wires.push(wire);
  return wire;
};
const isTold = (id: string) => rig.host.posts.some(({ text }) => text.includes(id));
const told = (id: string) => rig.host.posts.filter(({ text }) => text.includes(id)).length;
const leads = ({ lines }: Instance) =>
  lines.findLast(({ message }) => message === 'reconciler')?.['leads'] === true;
/** Its first sweep is over. */
const settled = async () => {
  await rig.passUntil(async () => (await rig.variable())?.leader, 0);
};
const listening = async (count = 1) => {
  await rig.passUntil(() => rig.mock.events.listening() === count, 0);
};
const end = (id: string) => rig.seed.setState('flow_runs', id, COMPLETED);
/** In steps that are shorter than what the event stream waits for a pong. */
const nap = async (milliseconds: number, stepSeconds = 5) => {
  const since = Date.now();
  await rig.passUntil(() => Date.now() - since >= milliseconds, stepSeconds);
};

describe('A run that ends is told, when all that says so is', () => {
  it('the webhook', async () => {
    rig.mock.events.refuse(true);
    const settling = rig.start({ RECONCILE_INTERVAL: NEVER });
    await settled();
    const config = loadConfig({ PREFECT_API_URL: rig.mock.url, PREFECT_NOTIFICATIONS_WEBHOOK_KEY: 'key' });
    const silent = { info() {}, warn() {}, error() {}, close: () => Promise.resolve() };
    const facade = await serve({
      config: { ...config, PREFECT_API_URL: rig.mock.url },
      logger: silent,
      port: 0,
      hint: settling.hint,
    });
    const orchestrator = new Host(facade.url);
    const id = await holder(rig.seed, { states: [COMPLETED] });
    const body = { body: `Flow run holder with id ${id} entered state Completed` };
    const headers = { 'X-Notification-Key': 'key' };
    expect(await orchestrator.post('/webhooks/v1/notification/', body, { headers })).toMatchObject({
      status: 200,
    });
    await rig.labelled(id, 'settled', 'cleaned');
    expect(told(id)).toBe(1);
    await orchestrator.close();
    await facade.close({ replaced: false });
  });

  it('the events', async () => {
    rig.start({ RECONCILE_INTERVAL: NEVER });
    await listening();
    await settled();
    const id = await holder(rig.seed, { states: [RUNNING, COMPLETED] });
    await rig.labelled(id, 'settled', 'cleaned');
    expect(told(id)).toBe(1);
  });

  it('the list of runs that ended', async () => {
    rig.mock.events.swallow(true);
    rig.start({ RECONCILE_INTERVAL: '15' });
    await settled();
    const id = await holder(rig.seed, { states: [COMPLETED] });
    const since = Date.now();
    await rig.passUntil(() => isTold(id), 5);
    expect(Date.now() - since).toBeLessThanOrEqual(25_000);
    await rig.labelled(id, 'settled', 'cleaned');
  });

  it('a hint that comes before the state can be read', async () => {
    rig.mock.events.refuse(true);
    const settling = rig.start({ RECONCILE_INTERVAL: NEVER });
    await settled();
    const id = await holder(rig.seed, { states: [RUNNING] });
    rig.mock.calls.length = 0;
    settling.hint({ flowRunId: id });
    await vi.waitUntil(() => rig.mock.calls.some(({ path }) => path.includes(id)));
    await end(id);
    await rig.passUntil(() => isTold(id), 1);
    await rig.labelled(id, 'settled');
  });

  it('all of them: once, and each terminal state of its own', async () => {
    const settling = rig.start({ RECONCILE_INTERVAL: '5' });
    await listening();
    const id = await holder(rig.seed, { states: [FAILED] });
    settling.hint({ flowRunId: id });
    await rig.labelled(id, 'settled');
    settling.hint({ flowRunId: id });
    await nap(20_000);
    expect(told(id)).toBe(1);
    await rig.seed.setState('flow_runs', id, SCHEDULED);
    await nap(20_000);
    expect(told(id)).toBe(1);
    await end(id);
    await rig.passUntil(() => told(id) > 1, 5);
    await nap(20_000);
    expect(rig.host.posts.map(({ sentence }) => sentence.split(' ').at(-1))).toEqual(['Failed', 'Completed']);
    expect(new Set(rig.host.posts.map(({ headers }) => headers['webhook-id'])).size).toBe(2);
  });
});

describe('What is done is not done again', () => {
  it('a hint before the labels are written reads the run, and no more', async () => {
    rig.mock.events.refuse(true);
    const settling = rig.start({ RECONCILE_INTERVAL: NEVER });
    await settled();
    const id = await holder(rig.seed, { states: [COMPLETED] });
    rig.mock.fault(({ path }) => (path.endsWith('/labels') ? { delayMs: 1_000 } : undefined));
    settling.hint({ flowRunId: id });
    await rig.passUntil(() => rig.mock.calls.some(({ path }) => path.endsWith('/labels')), 0.1);
    rig.mock.calls.length = 0;
    settling.hint({ flowRunId: id });
    await rig.passUntil(() => rig.mock.calls.length > 0, 0.1);
    await nap(10_000, 0.1);
    expect(rig.mock.calls.map(({ method, path }) => [method, path])).toEqual([['GET', `/flow_runs/${id}`]]);
    expect(told(id)).toBe(1);
  });

  it('clean-up and delivery are noted by one write', async () => {
    rig.mock.events.refuse(true);
    const settling = rig.start({ RECONCILE_INTERVAL: NEVER });
    await settled();
    const id = await holder(rig.seed, { states: [COMPLETED] });
    settling.hint({ flowRunId: id });
    const notes = () => rig.mock.calls.filter(({ path }) => path.endsWith('/labels'));
    await rig.passUntil(() => notes().length > 0, 0.05);
    await nap(5_000, 0.1);
    expect(notes()).toHaveLength(1);
    await rig.labelled(id, 'settled', 'cleaned');
  });
});

describe('Nobody is told', () => {
  it('of a run that nobody knows, or that lives', async () => {
    const settling = rig.start({ RECONCILE_INTERVAL: '15' });
    await listening();
    const id = await holder(rig.seed, { states: [RUNNING] });
    const unknown = randomUUID();
    settling.hint({ flowRunId: unknown, stateId: randomUUID() });
    settling.hint({ flowRunId: id, stateId: randomUUID() });
    const later = await holder(rig.seed, { states: [COMPLETED] });
    await nap(60_000);
    expect(rig.host.posts.map(({ text }) => text.includes(later))).toEqual([true]);
    expect(settling.lines.filter(({ level }) => level !== 'info')).toEqual([
      expect.objectContaining({ level: 'error', flow_run: unknown }),
    ]);
  });

  it('of subflows', async () => {
    const settling = rig.start({ RECONCILE_INTERVAL: '15' });
    await listening();
    const id = await holder(rig.seed, { states: [RUNNING] });
    const child = await rig.seed.subflow(id, { states: [COMPLETED] });
    settling.hint({ flowRunId: child.id });
    await end(id);
    await nap(60_000);
    expect(rig.host.posts.map(({ text }) => text.includes(id))).toEqual([true]);
    expect(await rig.labels(child.id)).not.toHaveProperty('settled');
  });
});

describe('The event stream', () => {
  it('comes back after it was cut and refused, and brings what was missed', async () => {
    const settling = rig.start({ RECONCILE_INTERVAL: NEVER });
    await listening();
    await settled();
    rig.mock.events.refuse(true);
    rig.mock.events.cut();
    await listening(0);
    const id = await holder(rig.seed, { states: [COMPLETED] });
    await nap(30_000);
    expect(isTold(id)).toBe(false);
    rig.mock.events.refuse(false);
    await rig.passUntil(() => isTold(id), 5);
    await rig.labelled(id, 'settled');
    const changes = settling.lines.filter(({ message }) => message === 'event stream');
    expect(changes.at(0)).toMatchObject({ open: true });
    expect(changes.at(1)).toMatchObject({ open: false, reason: 'closed' });
    expect(changes.at(-1)).toMatchObject({ open: true });
  });

  it('waits longer after each failure, for half a minute at most', async () => {
    const wire = await wireTo(rig.mock.url);
    wire.become('cut');
    const stream = new EventStream({ apiUrl: wire.url, onEnded: () => {}, onChange: () => {} });
    stream.open();
    await rig.passUntil(() => wire.connections.length >= 12, 1);
    stream.close();
    const gaps = wire.connections.slice(1).map((at, n) => at - wire.connections[n]!);
    expect(gaps[0]).toBeLessThan(3_000);
    expect(gaps[8]).toBeGreaterThan(10_000);
    expect(Math.max(...gaps)).toBeLessThan(32_000);
  });

  it.each(['at first', 'later'])('notices a connection that is silent %s', async (when) => {
    const wire = await wireTo(rig.mock.url);
    if (when === 'at first') wire.become('silent');
    const changes: [boolean, string][] = [];
    const ended: string[] = [];
    const stream = new EventStream({
      apiUrl: wire.url,
      onEnded: ({ flowRunId }) => ended.push(flowRunId),
      onChange: (isOpen, reason) => changes.push([isOpen, reason]),
    });
    stream.open();
    if (when === 'later') {
      await listening();
      wire.become('silent');
    }
    const id = await holder(rig.seed, { states: [COMPLETED] });
    await rig.passUntil(() => changes.some(([, reason]) => reason === 'no answer'), 5);
    wire.become('whole');
    await rig.passUntil(() => ended.includes(id), 5);
    stream.close();
  });

  it('gives up a connection whose key is refused, and tries again', async () => {
    const { host, mock } = await startRig({ authString: 'user:right' });
    const changes: [boolean, string][] = [];
    const stream = new EventStream({
      apiUrl: mock.url,
      authString: 'user:wrong',
      onEnded: () => {},
      onChange: (isOpen, reason) => changes.push([isOpen, reason]),
    });
    stream.open();
    await rig.passUntil(() => changes.length >= 3, 1);
    stream.close();
    expect(changes.every(([isOpen]) => !isOpen)).toBe(true);
    expect(JSON.stringify(changes)).not.toContain('wrong');
    await host.close();
    await mock.close();
  });
});

describe('The reconciler', () => {
  beforeEach(() => {
    rig.mock.events.swallow(true);
  });

  it('looks back only RECONCILE_LOOKBACK when it starts for the first time', async () => {
    const old = await holder(rig.seed, { states: [COMPLETED] });
    await nap(2 * HOUR, 600);
    const recent = await holder(rig.seed, { states: [COMPLETED] });
    rig.start({ RECONCILE_LOOKBACK: '3600' });
    await rig.labelled(recent, 'settled');
    await nap(60_000);
    expect(isTold(old)).toBe(false);
  });

  it('goes on where it was, however long nobody ran', async () => {
    const first = rig.start();
    const one = await holder(rig.seed, { states: [COMPLETED] });
    await rig.passUntil(() => isTold(one), 5);
    await rig.passUntil(async () => (await rig.variable())?.open_since === null, 5);
    await first.close();
    const two = await holder(rig.seed, { states: [COMPLETED] });
    await nap(2 * HOUR, 600);
    rig.start({ RECONCILE_LOOKBACK: '60' });
    await rig.passUntil(() => isTold(two), 5);
    await nap(60_000);
    expect([told(one), told(two)]).toEqual([1, 1]);
  });

  it('reads all pages of what ended, also under an operator’s page limit', async () => {
    await rig.close();
    rig = await startRig({ pageLimit: 7 });
    rig.mock.events.swallow(true);
    const ids = await Promise.all(
      Array.from({ length: 24 }, () => holder(rig.seed, { states: [COMPLETED] })),
    );
    rig.start();
    for (const id of ids) await rig.labelled(id, 'settled');
    expect(rig.host.posts).toHaveLength(24);
  });

  it('goes on around a run that the orchestrator cannot show, and says so', async () => {
    const before = await holder(rig.seed, { states: [COMPLETED] });
    const poisoned = await holder(rig.seed, { states: [COMPLETED] });
    await rig.seed.call('PATCH', `/flow_runs/${poisoned}/labels`, { broken: null });
    const after = await holder(rig.seed, { states: [COMPLETED] });
    const settling = rig.start();
    await rig.labelled(before, 'settled');
    await rig.labelled(after, 'settled');
    expect(settling.lines).toContainEqual(
      expect.objectContaining({ level: 'error', message: 'the orchestrator cannot show a flow run' }),
    );
    const later = await holder(rig.seed, { states: [COMPLETED] });
    await rig.passUntil(() => isTold(later), 5);
  });

  it('after a kill finds what waited for the host, though the position has passed it', async () => {
    const wire = await wireTo(rig.mock.url);
    const waiting = await holder(rig.seed, { states: [COMPLETED] });
    rig.host.answer = ({ text }) => (text.includes(waiting) ? 500 : 200);
    const killed = rig.start({
      PREFECT_API_URL: wire.url,
      RECONCILE_LOOKBACK: '600',
    });
    await rig.labelled(waiting, 'delivery');
    const { position } = (await rig.variable())!;
    await nap(2 * HOUR, 600);
    const later = await holder(rig.seed, { states: [COMPLETED] });
    await rig.passUntil(() => isTold(later), 15);
    await rig.passUntil(async () => (await rig.variable())!.position > position, 15);
    expect((await rig.variable())!.open_since).not.toBeNull();
    wire.become('cut');
    void killed.close();
    rig.host.answer = () => 200;
    const before = told(waiting);
    rig.start({ RECONCILE_LOOKBACK: '600' });
    await rig.passUntil(() => told(waiting) > before, 600);
    await rig.labelled(waiting, 'settled');
  });

  it.each([
    ['gone', undefined],
    ['emptied', null],
    ['text', 'nonsense'],
    ['another object', { position: 'x', open_since: 1, leader: 'me', beat: 'b' }],
    ['of another year', { position: '2999-01-01T00:00:00Z', open_since: null, leader: '', beat: 'b' }],
  ])('works on with a Variable that is %s, also after a restart', async (_what, value) => {
    const spoil = async () => {
      if (value === undefined) await rig.seed.call('DELETE', VARIABLE_PATH);
      else await rig.seed.call('PATCH', VARIABLE_PATH, { value });
    };
    const first = rig.start();
    await settled();
    await spoil();
    const one = await holder(rig.seed, { states: [COMPLETED] });
    await rig.passUntil(() => isTold(one), 15);
    await rig.passUntil(async () => (await rig.variable())?.leader, 15);
    await first.close();
    await spoil();
    const two = await holder(rig.seed, { states: [COMPLETED] });
    rig.start();
    await rig.passUntil(() => isTold(two), 15);
    await rig.passUntil(async () => (await rig.variable())?.leader, 15);
  });

  it('sees a terminal state that follows another one, though Prefect keeps the first end', async () => {
    rig.start({ RECONCILE_INTERVAL: '15', RECONCILE_LOOKBACK: '3600' });
    const id = await holder(rig.seed, { states: [{ type: 'CRASHED', name: 'Crashed' }] });
    await rig.passUntil(() => isTold(id), 5);
    // So that the position moves on.
    await nap(600_000, 60);
    const other = await holder(rig.seed, { states: [COMPLETED] });
    await rig.passUntil(() => isTold(other), 5);
    await nap(60_000);
    await end(id);
    await rig.passUntil(() => told(id) === 2, 30);
    expect(rig.host.posts.at(-1)!.text).toContain('Completed');
  });

  it('outlives an orchestrator that is away', async () => {
    const settling = rig.start();
    await settled();
    const away = { is: true };
    rig.mock.fault(() => (away.is ? 'reset' : undefined));
    const failed = () => settling.lines.some(({ message }) => message === 'reconciler failed');
    await rig.passUntil(failed, 5);
    away.is = false;
    const id = await holder(rig.seed, { states: [COMPLETED] });
    await rig.passUntil(() => isTold(id), 5);
    expect(settling.lines).toContainEqual({ level: 'info', message: 'reconciler works again' });
  });
});

describe('Of two instances', () => {
  const one = { PREFECT_PROXY_API_PORT: '1001' };
  const two = { PREFECT_PROXY_API_PORT: '1002' };

  it('one leads, and the other lets it be first', async () => {
    const leader = rig.start(one);
    await settled();
    const follower = rig.start(two);
    const id = await holder(rig.seed, { states: [COMPLETED] });
    leader.hint({ flowRunId: id });
    follower.hint({ flowRunId: id });
    await rig.labelled(id, 'settled');
    await nap(120_000);
    expect([leads(leader), leads(follower)]).toEqual([true, false]);
    expect(rig.mock.events.listening()).toBe(1);
    expect(told(id)).toBe(1);
  });

  it('the other one takes over when the leader falls silent, and what that had open', async () => {
    const wire = await wireTo(rig.mock.url);
    const open = await holder(rig.seed, { states: [COMPLETED] });
    rig.host.answer = () => 500;
    const leader = rig.start({ ...one, PREFECT_API_URL: wire.url });
    await rig.labelled(open, 'delivery');
    const follower = rig.start(two);
    await nap(60_000);
    expect(leads(follower)).toBe(false);
    wire.become('cut');
    void leader.close();
    rig.host.answer = () => 200;
    const id = await holder(rig.seed, { states: [COMPLETED] });
    await rig.passUntil(() => leads(follower), 5);
    await rig.passUntil(() => isTold(id), 5);
    await rig.labelled(open, 'settled');
    await listening();
  });

  it('the other one takes over with its next look when the leader is closed', async () => {
    const leader = rig.start(one);
    await settled();
    const follower = rig.start(two);
    await nap(30_000);
    const since = Date.now();
    await leader.close();
    await rig.passUntil(() => leads(follower), 1);
    expect(Date.now() - since).toBeLessThan(20_000);
    const id = await holder(rig.seed, { states: [COMPLETED] });
    await rig.passUntil(() => isTold(id), 5);
  });

  it('a hint for the one that does not lead is enough', async () => {
    rig.mock.events.swallow(true);
    rig.start({ ...one, RECONCILE_INTERVAL: NEVER });
    await settled();
    const follower = rig.start({ ...two, RECONCILE_INTERVAL: NEVER });
    await nap(5_000);
    const id = await holder(rig.seed, { states: [COMPLETED] });
    follower.hint({ flowRunId: id });
    await rig.passUntil(() => isTold(id), 1);
  });
});
