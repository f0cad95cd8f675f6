import { beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { contract } from '../support/contract.js';
import { startFacade } from '../support/facade.js';
import { GRAPH_NODES } from '../support/graph-limit.js';
import { Host } from '../support/host.js';
import { COMPLETED, RUNNING } from '../support/seed.js';

const c = contract();
const nodes = z.array(
  z.looseObject({
    id: z.string(),
    kind: z.string(),
    label: z.string(),
    state_type: z.string(),
    start_time: z.string().nullable(),
    parameters: z.unknown().optional(),
  }),
);
const nodeLogs = z.array(z.looseObject({ id: z.string(), logs: z.array(z.object({ message: z.string() })) }));

async function graph(id: string, host = c.host) {
  const reply = await host.get(`/proxy/flow_runs/graph/${id}`);
  expect(reply.status, reply.text).toBe(200);
  return { rows: nodes.parse(reply.json), cutAt: reply.headers['x-result-cut-at'] };
}

/** `first`, then two tasks and a subflow that wait for it, then `last` that waits for the tasks. */
async function seedSmall(run: string) {
  const ended = [RUNNING, COMPLETED];
  const first = await c.seed.taskRun(run, 'first', ended);
  const left = await c.seed.taskRun(run, 'left', ended, [first]);
  const right = await c.seed.taskRun(run, 'right', ended, [first]);
  const parameters = { payload: { slug: 'sync' } };
  const sub = await c.seed.subflow(run, { name: 'sub', states: ended, parameters }, [first]);
  const inner = await c.seed.taskRun(sub.id, 'inner', [RUNNING]);
  const last = await c.seed.taskRun(run, 'last', ended, [left, right]);
  await c.seed.logs([
    { flowRunId: run, taskRunId: first, message: 'of first', at: 1 },
    { flowRunId: sub.id, message: 'of sub', at: 2 },
    { flowRunId: sub.id, taskRunId: inner, message: 'of inner', at: 3 },
  ]);
  return { first, left, right, sub: sub.id, last };
}

describe(`A run of more than the ${GRAPH_NODES} nodes that the orchestrator puts into a graph`, () => {
  let run: string;
  let small: Awaited<ReturnType<typeof seedSmall>>;
  let before: Awaited<ReturnType<typeof graph>>;

  beforeAll(async () => {
    run = await c.seed.flowRun({ states: [RUNNING] });
    small = await seedSmall(run);
    before = await graph(run);
    for (let n = 0; n < GRAPH_NODES; n += 1) {
      const key = `more-${n}`;
      const task = { flow_run_id: run, task_key: key, dynamic_key: key, name: key, state: RUNNING };
      await c.seed.call('POST', '/task_runs/', task);
    }
  });

  it('is refused by the orchestrator', async () => {
    const reply = await fetch(`${c.apiUrl}/flow_runs/${run}/graph-v2`);
    const detail = `The graph of flow run ${run} has more than ${GRAPH_NODES} nodes.`;
    expect({ status: reply.status, body: await reply.json() }).toEqual({ status: 400, body: { detail } });
  });

  it('has its whole graph, each node as in a small one and in the order of the first visit', async () => {
    const { rows, cutAt } = await graph(run);
    const added = Array.from({ length: GRAPH_NODES }, (_, n) => `more-${n}`);
    const labels = rows.map(({ label }) => label);
    expect([...labels].sort()).toEqual(['first', 'last', 'left', 'right', 'sub', ...added].sort());
    const waiting = labels.filter((label) => ['left', 'right', 'sub', 'last'].includes(label));
    expect(labels[0]).toBe('first');
    expect(waiting.at(-1)).toBe('last');
    const known = new Map(rows.map((row) => [row.id, row]));
    expect(before.rows.map(({ id }) => known.get(id))).toEqual(before.rows);
    expect(known.get(small.sub)?.parameters).toEqual({ slug: 'sync' });
    expect(cutAt).toBeUndefined();
  });

  it('has its logs by node', async () => {
    const reply = await c.host.get(`/proxy/flow_runs/v1/logs/${run}`);
    expect(reply.status, reply.text).toBe(200);
    const rows = nodeLogs.parse(reply.json);
    expect(rows).toHaveLength(GRAPH_NODES + 5);
    const linesOf = (id: string) => rows.find((row) => row.id === id)?.logs.map(({ message }) => message);
    expect(linesOf(small.first)).toEqual(['of first']);
    expect(linesOf(small.sub)).toEqual(['of sub', 'of inner']);
    expect(linesOf(small.last)).toEqual([]);
  });

  it('is cut at LIST_CEILING, and says so', async () => {
    const facade = await startFacade(c.apiUrl, { LIST_CEILING: '30' });
    const host = new Host(facade.url);
    try {
      const { rows, cutAt } = await graph(run, host);
      expect(rows.length).toBeLessThanOrEqual(30);
      expect(cutAt).toBe('30');
    } finally {
      await host.close();
      await facade.close();
    }
  });
});
