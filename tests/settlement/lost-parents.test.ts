import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
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

const histories = () => rig.mock.calls.filter(({ path }) => path.startsWith('/flow_run_states')).length;
const listening = () => rig.passUntil(() => rig.mock.events.listening() === 1, 0);
const leader = () => rig.passUntil(async () => (await rig.variable())?.leader, 0);

describe('Whether a run is a subflow that lost its parent', () => {
  it('is known without a call from the event of its first state', async () => {
    rig.start({ RECONCILE_INTERVAL: '86400' });
    await listening();
    await leader();
    const own = await holder(rig.seed, { states: [RUNNING] });
    const child = await rig.seed.subflow(own, { states: [RUNNING] });
    await rig.seed.call('DELETE', `/flow_runs/${own}`);
    await rig.seed.setState('flow_runs', child.id, COMPLETED);
    const other = await holder(rig.seed, { states: [RUNNING, COMPLETED] });
    await rig.labelled(other, 'settled');
    await rig.labelled(child.id, 'cleaned', 'notify');
    expect(rig.host.posts.map(({ text }) => text.includes(other))).toEqual([true]);
    expect(histories()).toBe(0);
  });

  it('costs no call for a run that this service or a schedule started', async () => {
    rig.mock.events.refuse(true);
    const settling = rig.start({ RECONCILE_INTERVAL: '86400' });
    await leader();
    const { id } = (await rig.seed.call('POST', '/flow_runs/', {
      flow_id: await rig.seed.flow(),
      name: 'ours',
      idempotency_key: 'prefect-proxy-of-some-request',
    })) as { id: string };
    await rig.seed.setState('flow_runs', id, COMPLETED);
    settling.hint({ flowRunId: id });
    await rig.labelled(id, 'settled');
    expect(histories()).toBe(0);
  });

  it('costs one call for another one whose beginning was not heard, however often it is delivered', async () => {
    rig.mock.events.refuse(true);
    rig.host.answer = () => (rig.host.posts.length < 3 ? 500 : 200);
    const settling = rig.start({ RECONCILE_INTERVAL: '86400' });
    await leader();
    const id = await holder(rig.seed, { states: [RUNNING, COMPLETED] });
    settling.hint({ flowRunId: id });
    await rig.passUntil(async () => (await rig.labels(id))['settled'], 5);
    expect(rig.host.posts).toHaveLength(3);
    expect(histories()).toBe(1);
  });
});
