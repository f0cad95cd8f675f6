import { beforeAll, describe, expect, it } from 'vitest';
import { parseJson } from '../../src/json.js';
import { contract } from '../support/contract.js';
import { COMPLETED, FAILED, RUNNING } from '../support/seed.js';

const c = contract();
const UNKNOWN = '00000000-0000-4000-8000-000000000000';

type Node = Record<string, unknown>;

async function graph(id: string): Promise<Node[]> {
  const reply = await c.host.get(`/proxy/flow_runs/graph/${id}`);
  expect(reply.status, reply.text).toBe(200);
  return reply.json as Node[];
}

const KEYS = [
  'id',
  'kind',
  'label',
  'state_type',
  'state_name',
  'start_time',
  'end_time',
  'total_run_time',
  'estimated_run_time',
];

describe('GET /proxy/flow_runs/graph/{id}', () => {
  const payload = { slug: 'task-0', nested: { k: [0, null, 'é'] } };
  let nodes: Node[];
  let steps: string[];
  let subflows: string[];

  beforeAll(async () => {
    const run = await c.seed.flowRun({ states: [RUNNING] });
    const ended = [RUNNING, COMPLETED];
    const first = await c.seed.taskRun(run, 'step-0', ended);
    const second = await c.seed.taskRun(run, 'step-1', [
      RUNNING,
      { type: 'COMPLETED', name: 'DBT_TEST_FAILED' },
    ]);
    steps = [first, second];
    const plain = await c.seed.subflow(run, { name: 'branch-0', states: ended, parameters: { payload } });
    const slashed = await c.seed.subflow(run, {
      name: 'branch / 1',
      states: [RUNNING, { type: 'FAILED', name: 'TimedOut' }],
      parameters: { other: 1 },
    });
    subflows = [plain.id, slashed.id];
    // What is below a subflow is no node of this graph.
    await c.seed.taskRun(plain.id, 'inner', ended);
    nodes = await graph(run);
  });

  it('lists task runs and subflows of the first level, each with its keys in order', () => {
    expect(nodes.map((node) => [node['id'], node['kind'], node['label']])).toEqual([
      [steps[0], 'task-run', 'step-0'],
      [steps[1], 'task-run', 'step-1'],
      [subflows[0], 'flow-run', 'branch-0'],
      [subflows[1], 'flow-run', 'branch / 1'],
    ]);
    expect(nodes.map((node) => Object.keys(node))).toEqual([KEYS, KEYS, [...KEYS, 'parameters'], KEYS]);
  });

  it('has the payload of a subflow as its parameters', () => {
    expect(nodes[2]?.['parameters']).toEqual(payload);
  });

  it("has each node's own state, with custom names", () => {
    expect(nodes.map((node) => [node['state_type'], node['state_name']])).toEqual([
      ['COMPLETED', 'Completed'],
      ['COMPLETED', 'DBT_TEST_FAILED'],
      ['COMPLETED', 'Completed'],
      ['FAILED', 'TimedOut'],
    ]);
  });

  it('has the times of the task run or subflow', async () => {
    for (const [kind, node] of [
      ['task_runs', nodes[0]],
      ['flow_runs', nodes[2]],
    ] as const) {
      const id = node?.['id'] as string;
      const { start_time, end_time, total_run_time } = (await c.seed.call('GET', `/${kind}/${id}`)) as Node;
      expect(node).toMatchObject({ start_time, end_time, total_run_time });
      expect(node?.['estimated_run_time']).toBe(total_run_time);
    }
  });

  it('shows a subflow that runs, without an end', async () => {
    const run = await c.seed.flowRun();
    const { id } = await c.seed.subflow(run, {
      name: 'on',
      states: [RUNNING],
      parameters: { payload: null },
    });
    const [node] = await graph(run);
    expect(node).toMatchObject({ id, state_type: 'RUNNING', state_name: 'Running', end_time: null });
  });

  it("passes a payload's numbers on as they are", async () => {
    const run = await c.seed.flowRun();
    const parent = await c.seed.taskRun(run, 'sub');
    const reply = await fetch(`${c.apiUrl}/flow_runs/`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: `{"flow_id":"${await c.seed.flow()}","parent_task_run_id":"${parent}","state":{"type":"RUNNING"},
        "parameters":{"payload":{"one":1.0,"big":12345678901234567890}}}`,
    });
    expect(reply.status).toBe(201);
    const { text } = await c.host.get(`/proxy/flow_runs/graph/${run}`);
    const parameters: unknown = parseJson('{"one":1.0,"big":12345678901234567890}');
    expect(parseJson(text)).toEqual([expect.objectContaining({ parameters })]);
  });

  it.each([
    ['a constant', { input_type: 'constant', type: 'str' }],
    ['a parameter', { input_type: 'parameter', name: 'x' }],
  ])('shows a task that is fed by %s', async (_, input) => {
    const run = await c.seed.flowRun();
    await c.seed.call('POST', '/task_runs/', {
      flow_run_id: run,
      task_key: 'fed',
      dynamic_key: 'fed',
      name: 'fed',
      task_inputs: { x: [input] },
      state: RUNNING,
    });
    expect(await graph(run)).toMatchObject([{ label: 'fed', state_name: 'Running' }]);
  });

  it('is empty of a run without nodes', async () => {
    expect(await graph(await c.seed.flowRun({ states: [FAILED] }))).toEqual([]);
  });

  it.each([UNKNOWN, 'not-a-uuid'])('answers 404 for %s', async (id) => {
    const reply = await c.host.get(`/proxy/flow_runs/graph/${id}`);
    expect(reply.status).toBe(404);
    expect(reply.json).toMatchObject({ detail: 'failed to fetch graph for flow_run' });
  });
});
