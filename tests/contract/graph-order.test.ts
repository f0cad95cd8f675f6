import { describe, expect, it } from 'vitest';
import { contract } from '../support/contract.js';
import { COMPLETED, RUNNING } from '../support/seed.js';

const c = contract();

async function labels(id: string): Promise<string[]> {
  const reply = await c.host.get(`/proxy/flow_runs/graph/${id}`);
  expect(reply.status, reply.text).toBe(200);
  return (reply.json as { label: string }[]).map((node) => node.label);
}

/** The nodes in groups of these sizes; the orchestrator gives the children of a node in no particular order. */
async function layers(id: string, sizes: number[]): Promise<string[][]> {
  const rest = await labels(id);
  const found = sizes.map((size) => rest.splice(0, size).sort());
  expect(rest).toEqual([]);
  return found;
}

const task = (run: string, name: string, parents: string[] = []) =>
  c.seed.taskRun(run, name, [RUNNING, COMPLETED], parents);

describe('the order of a graph', () => {
  it('has a diamond from top to bottom, its bottom once', async () => {
    const run = await c.seed.flowRun();
    const top = await task(run, 'top');
    const left = await task(run, 'left', [top]);
    const right = await task(run, 'right', [top]);
    await task(run, 'bottom', [left, right]);
    expect(await layers(run, [1, 2, 1])).toEqual([['top'], ['left', 'right'], ['bottom']]);
  });

  it('visits level by level, not branch by branch', async () => {
    const run = await c.seed.flowRun();
    const a = await task(run, 'a');
    const aa = await task(run, 'aa', [a]);
    await task(run, 'aaa', [aa]);
    const b = await task(run, 'b');
    await task(run, 'bb', [b]);
    expect(await labels(run)).toEqual(['a', 'b', 'aa', 'bb', 'aaa']);
  });

  it('has 12 tasks in 3 fully linked layers once each', async () => {
    const run = await c.seed.flowRun();
    let above: string[] = [];
    for (const layer of [0, 1, 2]) {
      const made: string[] = [];
      for (const n of [0, 1, 2, 3]) made.push(await task(run, `t${layer}${n}`, above));
      above = made;
    }
    expect(await layers(run, [4, 4, 4])).toEqual([
      ['t00', 't01', 't02', 't03'],
      ['t10', 't11', 't12', 't13'],
      ['t20', 't21', 't22', 't23'],
    ]);
  });

  it('puts a subflow after the task that it waits for, and before the task that waits for it', async () => {
    const run = await c.seed.flowRun();
    const before = await task(run, 'before');
    const { parentTaskRunId } = await c.seed.subflow(run, { name: 'sub', states: [RUNNING, COMPLETED] }, [
      before,
    ]);
    await task(run, 'beside');
    await task(run, 'after', [parentTaskRunId]);
    const order = await labels(run);
    expect([...order].sort()).toEqual(['after', 'before', 'beside', 'sub']);
    expect(order.indexOf('before')).toBeLessThan(order.indexOf('sub'));
  });
});
