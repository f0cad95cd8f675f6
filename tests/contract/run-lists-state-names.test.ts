import { beforeAll, describe, expect, it } from 'vitest';
import { contract, lastUpstreamCalls } from '../support/contract.js';
import { COMPLETED, FAILED, type StateInput } from '../support/seed.js';

const c = contract();
const DBT_TEST_FAILED = { type: 'COMPLETED', name: 'DBT_TEST_FAILED' };

/** A run with a chain of subflows, and a task run at the end of it. */
async function runWithTaskAt(depth: number, state: StateInput, deploymentId?: string) {
  const run = await c.seed.flowRun({ states: [COMPLETED], ...(deploymentId ? { deploymentId } : {}) });
  let inner = run;
  for (let level = 0; level < depth; level += 1) {
    inner = (await c.seed.subflow(inner, { states: [COMPLETED] })).id;
  }
  await c.seed.taskRun(inner, 'dbt-test', [state]);
  return run;
}

async function stateNames(deploymentId: string): Promise<Map<string, string>> {
  const reply = await c.host.get(`/proxy/flow_runs?deployment_id=${deploymentId}`);
  expect(reply.status, reply.text).toBe(200);
  const { flow_runs: rows } = reply.json as { flow_runs: { id: string; state_name: string }[] };
  return new Map(rows.map((row) => [row.id, row.state_name]));
}

describe('the final state name', () => {
  let deploymentId: string;
  let failed: string[];
  let clean: string;

  beforeAll(async () => {
    deploymentId = await c.seed.deployment({ name: c.seed.name('names') });
    failed = [];
    for (const depth of [0, 1, 2, 3]) failed.push(await runWithTaskAt(depth, DBT_TEST_FAILED, deploymentId));
    clean = await runWithTaskAt(2, COMPLETED, deploymentId);
  });

  it.each([0, 1, 2, 3])('is DBT_TEST_FAILED in lists where a task %i levels down failed', async (depth) => {
    expect((await stateNames(deploymentId)).get(failed[depth] ?? '')).toBe('DBT_TEST_FAILED');
  });

  it.each([0, 1, 2, 3])('is DBT_TEST_FAILED of a run where a task %i levels down failed', async (depth) => {
    const reply = await c.host.get(`/proxy/flow_runs/${failed[depth] ?? ''}`);
    expect(reply.json).toMatchObject({
      status: 'COMPLETED',
      state_name: 'DBT_TEST_FAILED',
      state: { name: 'Completed' },
    });
    if (c.mock) expect(lastUpstreamCalls(c.facade)).toBeLessThanOrEqual(2 + depth);
  });

  it('leaves a run beside them as it is', async () => {
    expect((await stateNames(deploymentId)).get(clean)).toBe('Completed');
    expect((await c.host.get(`/proxy/flow_runs/${clean}`)).json).toMatchObject({ state_name: 'Completed' });
  });

  it('takes one call more for each depth of subflows, however many runs', async () => {
    expect((await stateNames(deploymentId)).size).toBe(5);
    if (c.mock) expect(lastUpstreamCalls(c.facade)).toBeLessThanOrEqual(2 + 3);
  });

  it('counts by the name of a state, whatever its type', async () => {
    const run = await runWithTaskAt(0, { type: 'FAILED', name: 'DBT_TEST_FAILED' });
    expect((await c.host.get(`/proxy/flow_runs/${run}`)).json).toMatchObject({
      status: 'COMPLETED',
      state_name: 'DBT_TEST_FAILED',
    });
  });

  it.each([
    ['a failed task run', FAILED, 'Completed'],
    ['a task run of a similar name', { type: 'COMPLETED', name: 'dbt_test_failed' }, 'Completed'],
  ])('does not change for %s', async (_, state, name) => {
    const run = await runWithTaskAt(1, state);
    expect((await c.host.get(`/proxy/flow_runs/${run}`)).json).toMatchObject({ state_name: name });
  });

  it("is the run's own, custom name elsewhere", async () => {
    const other = await c.seed.deployment({ name: c.seed.name('own') });
    const run = await c.seed.flowRun({ deploymentId: other, state: { type: 'FAILED', name: 'TimedOut' } });
    expect(await stateNames(other)).toEqual(new Map([[run, 'TimedOut']]));
  });
});
