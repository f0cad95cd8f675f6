import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Metrics } from '../../src/metrics/metrics.js';
import { COMPLETED, RUNNING } from '../support/seed.js';
import { bendTime, startRig, type Rig } from '../support/settlement/rig.js';
import { holder } from '../support/settlement/things.js';

let rig: Rig;
beforeEach(async () => {
  bendTime();
  rig = await startRig();
});
afterEach(async () => {
  await rig.close();
  vi.useRealTimers();
  expect(rig.mock.unexpected).toEqual([]);
});

const told = (id: string) => rig.host.posts.filter(({ text }) => text.includes(id));
const leader = async () => {
  await rig.passUntil(() => rig.mock.events.listening() === 1, 0);
  await rig.passUntil(async () => (await rig.variable())?.leader, 0);
};
const pass = async (seconds: number) => {
  const since = Date.now();
  await rig.passUntil(() => Date.now() - since >= seconds * 1000, 5);
};
const stateIdOf = async (id: string) =>
  ((await rig.seed.call('GET', `/flow_runs/${id}`)) as { state: { id: string } }).state.id;

describe('A run that is deleted while the host is down', () => {
  const delete_ = async () => {
    const id = await holder(rig.seed, { states: [RUNNING, COMPLETED] });
    const stateId = await stateIdOf(id);
    await rig.passUntil(() => told(id).length > 0, 0.1);
    await rig.seed.call('DELETE', `/flow_runs/${id}`);
    return { id, stateId };
  };

  it('is delivered when the host is back, from what was heard of it', async () => {
    rig.host.answer = () => 500;
    rig.start();
    await leader();
    const { id, stateId } = await delete_();
    await pass(60);
    rig.host.answer = () => 200;
    const before = told(id).length;
    await rig.passUntil(() => told(id).length > before, 15);
    expect(told(id).at(-1)!.headers).toMatchObject({
      'webhook-id': `${id}:${stateId}`,
      'x-flow-run-source': 'state_change',
    });
    await pass(120);
    expect(told(id)).toHaveLength(before + 1);
  });

  it('is delivered after a restart, too, and only once more', async () => {
    rig.host.answer = () => 500;
    const first = rig.start();
    await leader();
    const { id, stateId } = await delete_();
    await pass(60);
    await first.close();
    // Beyond what the events websocket brings again.
    const since = Date.now();
    await rig.passUntil(() => Date.now() - since > 1_200_000, 300);
    rig.host.answer = () => 200;
    const before = told(id).length;
    const second = rig.start();
    await rig.passUntil(() => told(id).length > before, 15);
    expect(told(id).at(-1)!.headers['webhook-id']).toBe(`${id}:${stateId}`);
    await pass(60);
    await second.close();
    rig.start();
    await leader();
    await pass(60);
    expect(told(id)).toHaveLength(before + 1);
  });
});

describe('A run that the orchestrator cannot show', () => {
  it('is delivered though no source but the sweep has seen it, once, also after a restart', async () => {
    rig.mock.events.swallow(true);
    const first = rig.start();
    await rig.passUntil(async () => (await rig.variable())?.leader, 0);
    const id = await holder(rig.seed, { states: [RUNNING, COMPLETED] });
    const stateId = await stateIdOf(id);
    await rig.seed.call('PATCH', `/flow_runs/${id}/labels`, { broken: null });
    await rig.passUntil(() => told(id).length > 0, 5);
    expect(told(id)[0]!.headers['webhook-id']).toBe(`${id}:${stateId}`);
    await pass(60);
    await first.close();
    rig.start();
    await pass(120);
    expect(told(id)).toHaveLength(1);
  });
});

describe('A run that is gone, and of which nothing is known', () => {
  it('is said with its id, and counted', async () => {
    rig.mock.events.swallow(true);
    const metrics = new Metrics();
    const settling = rig.start({ RECONCILE_INTERVAL: '86400' }, { metrics });
    await rig.passUntil(async () => (await rig.variable())?.leader, 0);
    const id = await holder(rig.seed, { states: [RUNNING, COMPLETED] });
    await rig.seed.call('DELETE', `/flow_runs/${id}`);
    settling.hint({ flowRunId: id });
    const isSaid = () => settling.lines.some((line) => line.level === 'error' && line['flow_run'] === id);
    await rig.passUntil(isSaid, 1);
    expect(await metrics.text()).toContain('prefect_proxy_ends_unknown_total 1');
    expect(rig.host.posts).toEqual([]);
  });
});

describe('A synchronous run that was deleted', () => {
  it.each([
    ['is not delivered', 'false', 0],
    ['is delivered with HOST_WEBHOOK_SYNC_RUNS=true', 'true', 1],
  ])('%s', async (_, value, times) => {
    const deploymentId = await rig.seed.deployment({ name: 'prefect-proxy-sync-runs' });
    const id = await holder(rig.seed, { deploymentId, states: [RUNNING, COMPLETED] });
    await rig.seed.call('DELETE', `/flow_runs/${id}`);
    rig.start({ HOST_WEBHOOK_SYNC_RUNS: value });
    await leader();
    await pass(60);
    expect(told(id)).toHaveLength(times);
  });
});
