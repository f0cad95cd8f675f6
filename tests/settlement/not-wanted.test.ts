import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { COMPLETED, FAILED, RUNNING } from '../support/seed.js';
import { bendTime, startRig, type Rig } from '../support/settlement/rig.js';
import { exists, holder, secretBlock } from '../support/settlement/things.js';

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

const NOT_WANTED = { 'prefect-proxy.notify': 'false' };
const END_STATES = [
  COMPLETED,
  FAILED,
  { type: 'CRASHED', name: 'Crashed' },
  { type: 'CANCELLED', name: 'Cancelled' },
];
const pass = async (seconds: number) => {
  const since = Date.now();
  await rig.passUntil(() => Date.now() - since >= seconds * 1000, 5);
};

describe('A run of which no host is to hear', () => {
  it.each(['webhook', 'events', 'sweep'])(
    'is cleaned up after and not told, found by the %s',
    async (source) => {
      if (source !== 'events') rig.mock.events.swallow(true);
      const settling = rig.start();
      await rig.passUntil(async () => (await rig.variable())?.leader, 0);
      const block = await secretBlock(rig.seed);
      const held = { block_documents: [block] };
      const ids = [await holder(rig.seed, { held, labels: NOT_WANTED, states: [RUNNING, COMPLETED] })];
      for (const state of END_STATES)
        ids.push(await holder(rig.seed, { labels: NOT_WANTED, states: [RUNNING, state] }));
      if (source === 'webhook') for (const id of ids) settling.hint({ flowRunId: id });
      const wanted = await holder(rig.seed, { states: [COMPLETED] });
      for (const id of ids) await rig.passUntil(async () => (await rig.labels(id))['cleaned'], 5);
      await rig.passUntil(() => rig.host.posts.length > 0, 5);
      await pass(120);
      expect(rig.host.posts.map(({ text }) => text.includes(wanted))).toEqual([true]);
      expect(await exists(rig.seed, `/block_documents/${block}`)).toBe(false);
      for (const id of ids) expect(await rig.labels(id)).not.toHaveProperty('settled');
    },
  );

  it('costs one read and one note, and no more later', async () => {
    rig.mock.events.refuse(true);
    const settling = rig.start({ RECONCILE_INTERVAL: '86400' });
    await rig.passUntil(async () => (await rig.variable())?.leader, 0);
    const id = await holder(rig.seed, { labels: NOT_WANTED, states: [COMPLETED] });
    rig.mock.calls.length = 0;
    settling.hint({ flowRunId: id });
    await rig.passUntil(async () => (await rig.labels(id))['cleaned'], 0.1);
    const ours = rig.mock.calls.filter(({ path }) => path.includes(`/flow_runs/${id}/labels`));
    expect(ours).toHaveLength(1);
  });
});
