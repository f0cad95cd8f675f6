import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Metrics } from '../../src/metrics/metrics.js';
import { COMPLETED } from '../support/seed.js';
import { startFakeHost, type FakeHost } from '../support/settlement/fake-host.js';
import { bendTime, startRig, VARIABLE_PATH, type Instance, type Rig } from '../support/settlement/rig.js';
import { exists, holder, secretBlock } from '../support/settlement/things.js';

let rig: Rig;
/** A second host. */
let other: FakeHost;
beforeEach(async () => {
  bendTime();
  rig = await startRig();
  other = await startFakeHost();
});
afterEach(async () => {
  await rig.close();
  await other.close();
  vi.useRealTimers();
  expect(rig.mock.unexpected).toEqual([]);
});

const told = (host: FakeHost, id: string) => host.posts.filter(({ text }) => text.includes(id)).length;
const end = () => holder(rig.seed, { states: [COMPLETED] });
const pass = async (seconds: number) => {
  const since = Date.now();
  await rig.passUntil(() => Date.now() - since >= seconds * 1000, 5);
};
const leads = ({ lines }: Instance) =>
  lines.findLast(({ message }) => message === 'reconciler')?.['leads'] === true;
const errors = ({ lines }: Instance) => lines.filter(({ level }) => level === 'error');

describe('A facade without HOST_WEBHOOK_URL', () => {
  const hostless = { HOST_WEBHOOK_URL: '', PREFECT_PROXY_API_PORT: '1' };

  it('takes no news away from a facade whose host is down', async () => {
    rig.host.answer = () => 500;
    const first = rig.start(hostless);
    await rig.passUntil(() => leads(first), 1);
    const delivering = rig.start({ PREFECT_PROXY_API_PORT: '2' });
    const ids = await Promise.all([1, 2, 3, 4, 5, 6].map(end));
    for (const id of ids) {
      first.hint({ flowRunId: id });
      delivering.hint({ flowRunId: id });
    }
    await pass(60);
    for (const id of ids) expect(await rig.labels(id)).toHaveProperty('cleaned');
    await first.close();
    for (const id of ids) expect(await rig.labels(id)).not.toHaveProperty('settled');
    rig.host.answer = () => 200;
    for (const id of ids) await rig.passUntil(async () => (await rig.labels(id))['settled'], 15);
  });

  it('leaves what ended while it was alone to a host that is started later', async () => {
    const first = rig.start(hostless);
    const id = await end();
    first.hint({ flowRunId: id });
    await rig.labelled(id, 'cleaned');
    await first.close();
    rig.start({ PREFECT_PROXY_API_PORT: '2' });
    await rig.passUntil(() => told(rig.host, id) > 0, 5);
  });

  it('cleans up what it finds, and leads the others that have no host, and nobody else', async () => {
    rig.mock.events.swallow(true);
    const first = rig.start(hostless);
    await rig.passUntil(() => leads(first), 1);
    const second = rig.start({ ...hostless, PREFECT_PROXY_API_PORT: '2' });
    const delivering = rig.start({ PREFECT_PROXY_API_PORT: '3' });
    await rig.passUntil(() => leads(delivering), 1);
    const block = await secretBlock(rig.seed);
    const id = await holder(rig.seed, { held: { block_documents: [block] }, states: [COMPLETED] });
    await rig.passUntil(async () => !(await exists(rig.seed, `/block_documents/${block}`)), 5);
    await rig.labelled(id, 'cleaned');
    expect([leads(first), leads(second)]).toEqual([true, false]);
    expect(await rig.variable()).toMatchObject({ leader: expect.stringMatching(/:3$/) as string });
  });
});

describe('Hosts of two names', () => {
  const second = (fields: Record<string, string> = {}) => ({
    HOST_WEBHOOK_URL: other.url,
    HOST_WEBHOOK_NAME: 'second',
    PREFECT_PROXY_API_PORT: '2',
    ...fields,
  });

  it('both hear everything, and one that is down holds up nothing for the other', async () => {
    const facades = [rig.start({ PREFECT_PROXY_API_PORT: '1' }), rig.start(second())];
    await rig.passUntil(() => facades.every(leads), 1);
    rig.host.answer = () => 500;
    const ids = await Promise.all([1, 2, 3, 4, 5].map(end));
    for (const id of ids) await rig.passUntil(() => told(other, id) > 0, 1);
    for (const id of ids) await rig.labelled(id, 'second.settled', 'cleaned', 'delivery');
    for (const id of ids) expect(await rig.labels(id)).not.toHaveProperty('settled');
    rig.host.answer = () => 200;
    for (const id of ids) await rig.passUntil(async () => (await rig.labels(id))['settled'], 15);
    await pass(120);
    for (const id of ids) expect(told(other, id)).toBe(1);
  });

  it('and a label that is lost to a write at the same moment is written again, without another delivery', async () => {
    rig.mock.events.swallow(true);
    rig.start(second());
    const id = await end();
    await rig.passUntil(async () => (await rig.labels(id))['second.settled'], 5);
    await rig.seed.call('PATCH', `/flow_runs/${id}/labels`, { 'prefect-proxy.second.settled': '' });
    await rig.passUntil(async () => (await rig.labels(id))['second.settled'], 15);
    expect(told(other, id)).toBe(1);
  });

  it('one that is added gets no old news, and everything from then on', async () => {
    rig.start({ PREFECT_PROXY_API_PORT: '1' });
    const old = await end();
    await rig.labelled(old, 'settled');
    await pass(600);
    const added = rig.start(second({ RECONCILE_LOOKBACK: '3600' }));
    await rig.passUntil(() => leads(added), 1);
    const recent = await end();
    await rig.passUntil(() => told(other, recent) > 0, 5);
    added.hint({ flowRunId: old });
    // A sweep that looks further back is among them.
    await pass(600);
    expect(told(other, old)).toBe(0);
    await added.close();
    const missed = await end();
    rig.start(second());
    await rig.passUntil(() => told(other, missed) > 0, 15);
    await pass(600);
    expect(told(other, old)).toBe(0);
  });

  it('one whose Variable is lost is not taken for a new one', async () => {
    rig.mock.events.swallow(true);
    const first = rig.start(second());
    const one = await end();
    await rig.passUntil(async () => (await rig.labels(one))['second.settled'], 5);
    await first.close();
    const missed = await end();
    await pass(300);
    await rig.seed.call('DELETE', `${VARIABLE_PATH}_second`);
    rig.start(second());
    await rig.passUntil(() => told(other, missed) > 0, 5);
  });
});

describe('Two URLs under one name', () => {
  const elsewhere = () => ({ HOST_WEBHOOK_URL: other.url, PREFECT_PROXY_API_PORT: '2' });

  it('the second stands by: it delivers nothing, notes nothing, and says so', async () => {
    const first = rig.start({ PREFECT_PROXY_API_PORT: '1' });
    await rig.passUntil(async () => (await rig.variable())?.leader, 1);
    rig.host.answer = () => 500;
    const metrics = new Metrics();
    const second = rig.start(elsewhere(), { metrics });
    await rig.passUntil(() => errors(second).length > 0, 1);
    expect(errors(second)).toEqual([
      expect.objectContaining({ message: 'this instance delivers nothing', host: 'default' }),
    ]);
    expect(second.standby.reason).toContain('another HOST_WEBHOOK_URL');
    expect(JSON.stringify(second.lines)).not.toContain(new URL(rig.host.url).port);
    expect(await metrics.text()).toContain('prefect_proxy_delivery_standby 1');
    const id = await end();
    second.hint({ flowRunId: id });
    await rig.labelled(id, 'delivery');
    await pass(60);
    expect(other.posts).toEqual([]);
    rig.host.answer = () => 200;
    await rig.passUntil(() => told(rig.host, id) > 1, 15);
    await rig.labelled(id, 'settled');
    expect(first.standby.reason).toBeUndefined();
  });

  it.each(['hands over', 'falls silent'])('it takes over when the first one %s', async (how) => {
    const first = rig.start({ PREFECT_PROXY_API_PORT: '1' });
    const before = await end();
    await rig.passUntil(() => told(rig.host, before) > 0, 1);
    const second = rig.start(elsewhere());
    await rig.passUntil(() => second.standby.reason !== undefined, 1);
    if (how === 'hands over') await first.close();
    else {
      const { position, open_since } = (await rig.variable())!;
      await first.close();
      // As if it had been killed: its name still stands there.
      const value = { position, open_since, leader: 'first', beat: 'last', target: 'elsewhere' };
      await rig.seed.call('PATCH', VARIABLE_PATH, { value });
    }
    const missed = await end();
    second.hint({ flowRunId: missed });
    await rig.passUntil(() => told(other, missed) > 0, 5);
    await rig.labelled(missed, 'settled');
    expect(second.standby.reason).toBeUndefined();
    expect(told(rig.host, missed)).toBe(0);
    await pass(60);
    expect(told(other, before)).toBe(0);
  });

  it('does not matter if only the login in it differs', async () => {
    rig.start({ PREFECT_PROXY_API_PORT: '1' });
    await rig.passUntil(async () => (await rig.variable())?.leader, 1);
    const url = new URL(rig.host.url);
    url.username = 'someone';
    const second = rig.start({ HOST_WEBHOOK_URL: url.href, PREFECT_PROXY_API_PORT: '2' });
    await rig.passUntil(() => second.lines.some(({ message }) => message === 'reconciler'), 1);
    await pass(30);
    expect(second.standby.reason).toBeUndefined();
    expect(JSON.stringify(await rig.seed.call('GET', VARIABLE_PATH))).not.toContain('someone');
  });

  it('an instance that cannot read yet who leads waits with what it hears', async () => {
    const broken = { is: true };
    rig.mock.fault(({ path }) => (broken.is && path.includes('/variables/') ? { status: 500 } : undefined));
    const only = rig.start({ PREFECT_API_RETRY: 'false' });
    const id = await end();
    only.hint({ flowRunId: id });
    await pass(10);
    expect(rig.host.posts).toEqual([]);
    broken.is = false;
    await rig.passUntil(() => told(rig.host, id) > 0, 1);
  });

  it('an instance that can never read it delivers what it hears, all the same', async () => {
    rig.mock.fault(({ path }) => (path.includes('/variables/') ? { status: 500 } : undefined));
    const only = rig.start({ PREFECT_API_RETRY: 'false' });
    const id = await end();
    only.hint({ flowRunId: id });
    await rig.passUntil(() => told(rig.host, id) > 0, 5);
  });
});
