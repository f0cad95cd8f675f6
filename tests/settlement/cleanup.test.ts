import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { COMPLETED, FAILED, RUNNING, SCHEDULED, type StateInput } from '../support/seed.js';
import { bendTime, startRig, type Instance, type Rig } from '../support/settlement/rig.js';
import {
  exists,
  holder,
  lease,
  leaseIsHeld,
  secretBlock,
  slotHolders,
  tagLimit,
  takeSlot,
} from '../support/settlement/things.js';

const CRASHED: StateInput = { type: 'CRASHED', name: 'Crashed' };
const CANCELLED: StateInput = { type: 'CANCELLED', name: 'Cancelled' };

let rig: Rig;
let settling: Instance;
beforeEach(async () => {
  bendTime();
  rig = await startRig();
  settling = rig.start({ CLEANUP_GRACE: '60', RECONCILE_INTERVAL: '10' });
});
afterEach(async () => {
  await rig.close();
  vi.useRealTimers();
  expect(rig.mock.unexpected).toEqual([]);
});
const hint = (id: string) => {
  settling.hint({ flowRunId: id });
};
const blockIsThere = (id: string) => exists(rig.seed, `/block_documents/${id}`);
const deletions = () => rig.mock.calls.filter(({ method }) => method === 'DELETE');

describe('What a run declared', () => {
  it.each([COMPLETED, CANCELLED])('is given up when it is %o', async (state) => {
    const [block, deployment] = [await secretBlock(rig.seed), await rig.seed.deployment()];
    const taken = await lease(rig.seed);
    const held = { block_documents: [block], deployments: [deployment], concurrency_leases: [taken.id] };
    const id = await holder(rig.seed, { held, states: [state] });
    hint(id);
    const { cleaned, settled } = await rig.labelled(id, 'cleaned', 'settled');
    expect(cleaned).toBe(settled);
    expect(await blockIsThere(block)).toBe(false);
    expect(await exists(rig.seed, `/deployments/${deployment}`)).toBe(false);
    expect(await leaseIsHeld(rig.seed, taken)).toBe(false);
  });

  it('is kept for a while when nobody started it, and then given up', async () => {
    const block = await secretBlock(rig.seed);
    const id = await holder(rig.seed, { held: { block_documents: [block] }, states: [SCHEDULED] });
    await rig.seed.call('PATCH', `/flow_runs/${id}/labels`, { 'prefect-proxy.not-started': 'true' });
    await rig.seed.setState('flow_runs', id, CANCELLED);
    hint(id);
    await rig.labelled(id, 'settled');
    expect(await blockIsThere(block)).toBe(true);
    await vi.advanceTimersByTimeAsync(61_000);
    await rig.labelled(id, 'cleaned');
    expect(await blockIsThere(block)).toBe(false);
  });

  it('and is gone already, is success', async () => {
    const held = {
      block_documents: [randomUUID()],
      deployments: [randomUUID()],
      concurrency_leases: [randomUUID()],
    };
    const id = await holder(rig.seed, { held, states: [COMPLETED] });
    hint(id);
    await rig.labelled(id, 'cleaned');
    expect(settling.lines.filter(({ level }) => level !== 'info')).toEqual([]);
  });

  it('and what others hold, is left alone', async () => {
    const [ours, theirs] = [await secretBlock(rig.seed), await secretBlock(rig.seed)];
    await holder(rig.seed, { held: { block_documents: [theirs] }, states: [RUNNING] });
    const id = await holder(rig.seed, { held: { block_documents: [ours] }, states: [COMPLETED] });
    hint(id);
    await rig.labelled(id, 'cleaned');
    expect([await blockIsThere(ours), await blockIsThere(theirs)]).toEqual([false, true]);
  });

  it.each([
    ['blocks', '/block_documents/'],
    ['deployments', '/deployments/'],
    ['leases', '/decrement-with-lease'],
  ])('is given up as far as it can be, and the rest later: %s fail', async (_what, part) => {
    const [block, deployment] = [await secretBlock(rig.seed), await rig.seed.deployment()];
    const taken = await lease(rig.seed);
    const held = { block_documents: [block], deployments: [deployment], concurrency_leases: [taken.id] };
    const id = await holder(rig.seed, { held, states: [COMPLETED] });
    const broken = { is: true };
    rig.mock.fault(({ method, path }) =>
      broken.is && method !== 'GET' && path.includes(part) ? { status: 500 } : undefined,
    );
    hint(id);
    // The host does not wait for it.
    expect(await rig.labelled(id, 'settled')).not.toHaveProperty('cleaned');
    const left = async () =>
      [
        await blockIsThere(block),
        await exists(rig.seed, `/deployments/${deployment}`),
        await leaseIsHeld(rig.seed, taken),
      ].filter(Boolean).length;
    expect(await left()).toBe(1);
    broken.is = false;
    await rig.passUntil(async () => (await left()) === 0, 10);
    await rig.labelled(id, 'cleaned');
    expect(rig.host.posts).toHaveLength(1);
  });

  it.each([
    'nonsense',
    '[]',
    '{"block_documents": "x"}',
    '{"block_documents": ["../flows/x"]}',
    '{"other": []}',
    true,
    7,
  ])('in a label that is not ours (%j) is left alone; the host is told', async (label) => {
    const block = await secretBlock(rig.seed);
    const labels = { 'prefect-proxy.cleanup': label };
    const id = await holder(rig.seed, { labels, states: [COMPLETED] });
    hint(id);
    await rig.labelled(id, 'settled', 'cleaned');
    expect(deletions()).toEqual([]);
    expect(await blockIsThere(block)).toBe(true);
    expect(settling.lines).toContainEqual({
      level: 'warn',
      message: 'clean-up label not understood',
      flow_run: id,
    });
  });

  it.each([FAILED, CRASHED])('is kept for CLEANUP_GRACE when it is %o, then given up', async (state) => {
    const block = await secretBlock(rig.seed);
    const id = await holder(rig.seed, { held: { block_documents: [block] }, states: [state] });
    const ended = Date.now();
    hint(id);
    expect(await rig.labelled(id, 'settled')).not.toHaveProperty('cleaned');
    expect(await blockIsThere(block)).toBe(true);
    await rig.passUntil(async () => !(await blockIsThere(block)), 5);
    expect(Date.now() - ended).toBeGreaterThanOrEqual(59_000);
    await rig.labelled(id, 'cleaned');
    expect(rig.host.posts).toHaveLength(1);
  });

  it('is kept by a run that is retried in time, until that ends', async () => {
    const block = await secretBlock(rig.seed);
    const deployment = await rig.seed.deployment();
    const held = { block_documents: [block] };
    const id = await holder(rig.seed, { held, deploymentId: deployment, states: [FAILED] });
    hint(id);
    const first = await rig.labelled(id, 'settled');
    await rig.seed.setState('flow_runs', id, SCHEDULED);
    const retried = Date.now();
    await rig.passUntil(() => Date.now() - retried > 200_000, 20);
    expect(deletions()).toEqual([]);
    await rig.seed.setState('flow_runs', id, COMPLETED);
    await rig.passUntil(async () => !(await blockIsThere(block)), 10);
    const last = await rig.labelled(id, 'cleaned');
    expect(last['settled']).not.toBe(first['settled']);
    expect(rig.host.posts.map(({ headers }) => headers['webhook-id'])).toEqual([
      `${id}:${first['settled']!}`,
      `${id}:${last['settled']!}`,
    ]);
  });

  it('is never taken from a run that lives, whatever is said of it', async () => {
    const block = await secretBlock(rig.seed);
    const id = await holder(rig.seed, { held: { block_documents: [block] }, states: [RUNNING] });
    rig.mock.calls.length = 0;
    settling.hint({ flowRunId: id, stateId: randomUUID() });
    hint(id);
    const reads = () =>
      rig.mock.calls.filter(({ path, body }) => path.includes(id) || JSON.stringify(body).includes(id));
    // The hint may be ahead of the state: it is read four times.
    await rig.passUntil(() => reads().length >= 4, 1);
    expect(deletions()).toEqual([]);
    expect(rig.host.posts).toEqual([]);
    expect(await rig.labels(id)).not.toHaveProperty('settled');
  });
});

describe('Slots that Prefect leaves held', () => {
  it.each([FAILED, CRASHED, CANCELLED])('by a run that is %o are freed, and no other ones', async (state) => {
    const { seed } = rig;
    const [tag, other] = [await tagLimit(seed), await tagLimit(seed)];
    const id = await holder(seed);
    const inline = await seed.subflow(id, { name: 'inline', states: [RUNNING] });
    const deeper = await seed.subflow(inline.id, { name: 'deeper', states: [RUNNING] });
    const apart = await seed.subflow(id, {
      name: 'apart',
      deploymentId: await seed.deployment(),
      states: [RUNNING],
    });
    const live = await holder(seed, { states: [RUNNING] });
    const freed = await Promise.all([id, inline.id, deeper.id].map((run) => seed.taskRun(run, 'task')));
    const kept = await Promise.all([apart.id, live].map((run) => seed.taskRun(run, 'task')));
    for (const task of [...freed, ...kept]) await takeSlot(seed, [tag], task);
    await takeSlot(seed, [other], freed[0]!);
    await seed.setState('flow_runs', id, state);
    hint(id);
    await rig.labelled(id, 'cleaned');
    expect(new Set(await slotHolders(seed, tag))).toEqual(new Set(kept));
    expect(await slotHolders(seed, other)).toEqual([]);
  });

  it('of its deployment, by the lease that its state names', async () => {
    const taken = await lease(rig.seed);
    const states = [{ ...CRASHED, state_details: { deployment_concurrency_lease_id: taken.id } }];
    const id = await holder(rig.seed, { states });
    hint(id);
    await rig.labelled(id, 'cleaned');
    expect(await leaseIsHeld(rig.seed, taken)).toBe(false);
  });

  it('are freed at once, though a failed run keeps what it declared', async () => {
    const tag = await tagLimit(rig.seed);
    const block = await secretBlock(rig.seed);
    const id = await holder(rig.seed, { held: { block_documents: [block] } });
    await takeSlot(rig.seed, [tag], await rig.seed.taskRun(id, 'task'));
    await rig.seed.setState('flow_runs', id, FAILED);
    hint(id);
    await rig.labelled(id, 'settled');
    await expect.poll(() => slotHolders(rig.seed, tag)).toEqual([]);
    expect(await blockIsThere(block)).toBe(true);
  });

  it('are freed among more limits than fit on a page', async () => {
    await rig.close();
    rig = await startRig({ pageLimit: 5 });
    settling = rig.start();
    const { seed } = rig;
    for (let n = 0; n < 6; n += 1) {
      await seed.call('POST', '/v2/concurrency_limits/', { name: `deployment:${n}`, limit: 1 });
    }
    const tag = await tagLimit(seed);
    const id = await holder(seed);
    await takeSlot(seed, [tag], await seed.taskRun(id, 'task'));
    await seed.setState('flow_runs', id, CRASHED);
    hint(id);
    await rig.labelled(id, 'cleaned');
    expect(await slotHolders(seed, tag)).toEqual([]);
  });
});
