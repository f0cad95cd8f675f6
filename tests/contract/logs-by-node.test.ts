import { beforeAll, describe, expect, it } from 'vitest';
import { contract } from '../support/contract.js';
import { COMPLETED, RUNNING } from '../support/seed.js';

const c = contract();
const UNKNOWN = '00000000-0000-4000-8000-000000000000';

interface Node {
  id: string;
  kind: string;
  label: string;
  state_type: string;
  state_name: string;
  logs: { level: number; timestamp: string; message: string }[];
}

async function nodesOf(id: string): Promise<Node[]> {
  const reply = await c.host.get(`/proxy/flow_runs/v1/logs/${id}`);
  expect(reply.status, reply.text).toBe(200);
  return reply.json as Node[];
}

const lines = (node: Node | undefined) => node?.logs.map((log) => log.message);

describe('GET /proxy/flow_runs/v1/logs/{id}', () => {
  let run: string;
  let nodes: Node[];

  beforeAll(async () => {
    run = await c.seed.flowRun();
    const first = await c.seed.taskRun(run, 'first', [RUNNING, COMPLETED]);
    await c.seed.taskRun(run, 'silent', [RUNNING]);
    const sub = await c.seed.subflow(run, {
      name: 'sub / 1',
      states: [{ type: 'FAILED', name: 'TimedOut' }],
    });
    const inner = await c.seed.taskRun(sub.id, 'inner', [RUNNING]);
    await c.seed.logs([
      { flowRunId: run, taskRunId: first, message: 'first 2', at: 20, level: 40 },
      { flowRunId: run, taskRunId: first, message: 'first 1', at: 10 },
      { flowRunId: sub.id, message: 'sub 2', at: 40 },
      { flowRunId: sub.id, message: 'sub 1', at: 15 },
      { flowRunId: sub.id, taskRunId: inner, message: 'inner', at: 30 },
      { flowRunId: run, message: 'of the run itself', at: 5 },
    ]);
    nodes = await nodesOf(run);
  });

  it('lists the nodes as the graph does', async () => {
    const graph = (await c.host.get(`/proxy/flow_runs/graph/${run}`)).json as Record<string, unknown>[];
    const keys = ['id', 'kind', 'label', 'state_type', 'state_name', 'start_time', 'end_time'] as const;
    const shown = graph.map((node) => Object.fromEntries(keys.map((key) => [key, node[key]])));
    expect(nodes.map(({ logs: _, ...node }) => node)).toEqual(shown);
    expect(Object.keys(nodes[0] ?? {})).toEqual([...keys, 'logs']);
    expect(nodes.map((node) => node.label).sort()).toEqual(['first', 'silent', 'sub / 1']);
  });

  it('gives each node its own logs, by time', () => {
    const first = nodes.find((node) => node.label === 'first');
    expect(lines(first)).toEqual(['first 1', 'first 2']);
    expect(first?.logs[1]).toEqual({
      level: 40,
      timestamp: '2026-01-01T00:00:00.020000Z',
      message: 'first 2',
    });
    expect(Object.keys(first?.logs[0] ?? {})).toEqual(['level', 'timestamp', 'message']);
    expect(lines(nodes.find((node) => node.label === 'silent'))).toEqual([]);
  });

  it('gives a subflow its own logs with those of its task runs', () => {
    const sub = nodes.find((node) => node.kind === 'flow-run');
    expect(lines(sub)).toEqual(['sub 1', 'inner', 'sub 2']);
    expect(sub).toMatchObject({ state_type: 'FAILED', state_name: 'TimedOut' });
  });

  it('is complete beyond a page', async () => {
    const long = await c.seed.flowRun();
    const tasks = [await c.seed.taskRun(long, 'a', [RUNNING]), await c.seed.taskRun(long, 'b', [RUNNING])];
    const rows = Array.from({ length: 450 }, (_, at) => ({
      flowRunId: long,
      taskRunId: tasks[at % 2] ?? '',
      message: String(at),
      at,
    }));
    await c.seed.logs(rows);
    for (const node of await nodesOf(long)) {
      const own = rows.filter((row) => row.taskRunId === node.id).map((row) => row.message);
      expect(own).toHaveLength(225);
      expect(lines(node)).toEqual(own);
    }
  });

  it('is empty of a run without nodes', async () => {
    const bare = await c.seed.flowRun();
    await c.seed.logs([{ flowRunId: bare, message: 'of the run itself' }]);
    expect(await nodesOf(bare)).toEqual([]);
  });

  it.each([UNKNOWN, 'not-a-uuid'])('answers 404 for %s', async (id) => {
    const reply = await c.host.get(`/proxy/flow_runs/v1/logs/${id}`);
    expect(reply.status).toBe(404);
    expect(reply.json).toMatchObject({ detail: 'failed to fetch logs for flow_run' });
  });
});
