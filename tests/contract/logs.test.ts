import { beforeAll, describe, expect, it } from 'vitest';
import { contract } from '../support/contract.js';

const c = contract();
const UNKNOWN = '00000000-0000-4000-8000-000000000000';

interface Reply {
  offset: number;
  logs: { level: number; timestamp: string; message: string }[];
}

async function read(id: string, query = ''): Promise<Reply> {
  const reply = await c.host.get(`/proxy/flow_runs/logs/${id}${query}`);
  expect(reply.status, reply.text).toBe(200);
  return reply.json as Reply;
}

const messages = async (id: string, query = '') => (await read(id, query)).logs.map((log) => log.message);

describe('GET /proxy/flow_runs/logs/{id}', () => {
  const ALL = ['begin', 'step', 'depth 1', 'depth 2', 'depth 3', 'deep step', 'end'];
  let run: string;
  let step: string;
  let deepStep: string;
  let below: string;

  beforeAll(async () => {
    run = await c.seed.flowRun();
    step = await c.seed.taskRun(run, 'step');
    const one = await c.seed.subflow(run, { name: 'one' });
    const two = await c.seed.subflow(one.id, { name: 'two' });
    const three = await c.seed.subflow(two.id, { name: 'three' });
    deepStep = await c.seed.taskRun(three.id, 'deep');
    below = two.id;
    const outsider = await c.seed.flowRun();
    await c.seed.logs([
      { flowRunId: run, message: 'end', at: 70, level: 10 },
      { flowRunId: three.id, taskRunId: deepStep, message: 'deep step', at: 60, level: 30 },
      { flowRunId: two.id, message: 'depth 2', at: 40, level: 50 },
      { flowRunId: three.id, message: 'depth 3', at: 50, level: 0 },
      { flowRunId: one.id, message: 'depth 1', at: 30, level: 25 },
      { flowRunId: run, taskRunId: step, message: 'step', at: 20, level: 40 },
      { flowRunId: run, message: 'begin', at: 10 },
      { flowRunId: outsider, message: 'of another run', at: 15 },
    ]);
  });

  it('lists those of the run and of its subflows at all depths, by time', async () => {
    const { logs, offset } = await read(run);
    expect(offset).toBe(0);
    expect(logs.map((log) => log.message)).toEqual(ALL);
    expect(logs.map((log) => log.level)).toEqual([20, 40, 25, 50, 0, 30, 10]);
    expect(Object.keys(logs[0] ?? {})).toEqual(['level', 'timestamp', 'message']);
    expect(logs[0]?.timestamp).toBe('2026-01-01T00:00:00.010000Z');
  });

  it('lists those below a subflow when asked for it', async () => {
    expect(await messages(below)).toEqual(['depth 2', 'depth 3', 'deep step']);
  });

  it.each<[string, () => string, number, number]>([
    ['an empty task run', () => '?task_run_id=', 0, 7],
    ["the client's defaults", () => '?offset=0&limit=0&task_run_id=', 0, 7],
    ['a task run', () => `?task_run_id=${step}`, 1, 2],
    ["a subflow's task run", () => `?task_run_id=${deepStep}`, 5, 6],
    ['an unknown task run', () => `?task_run_id=${UNKNOWN}`, 0, 0],
    ['a limit', () => '?limit=2', 0, 2],
    ['a limit as +2', () => '?limit=+2', 0, 2],
    ['a limit beyond a page', () => '?limit=201', 0, 7],
    ['no limit', () => '?limit=0', 0, 7],
    ['an offset', () => '?offset=5', 5, 7],
    ['an offset as 5.0', () => '?offset=5.0', 5, 7],
    ['both', () => '?offset=1&limit=3', 1, 4],
    ['the last of two', () => '?offset=1&limit=3&offset=2', 2, 5],
    ['an offset at the end', () => '?offset=7', 7, 7],
    ['an offset beyond', () => '?offset=1000000', 7, 7],
  ])('%s', async (_, query, from, to) => {
    expect(await messages(run, query())).toEqual(ALL.slice(from, to));
  });

  it('repeats the offset as a number', async () => {
    expect((await read(run, '?offset=+5&limit=1')).offset).toBe(5);
  });

  it('is complete beyond a page', async () => {
    const long = await c.seed.flowRun();
    const lines = Array.from({ length: 450 }, (_, n) => `line ${n}`);
    await c.seed.logs(lines.map((message, at) => ({ flowRunId: long, message, at })));
    expect(await messages(long)).toEqual(lines);
    expect(await messages(long, '?limit=450')).toEqual(lines);
    expect(await messages(long, '?limit=201')).toEqual(lines.slice(0, 201));
    expect(await messages(long, '?limit=201&offset=100')).toEqual(lines.slice(100, 301));
    expect(await messages(long, '?offset=149')).toEqual(lines.slice(149));
  });

  it('passes any text on', async () => {
    const id = await c.seed.flowRun();
    const message = `a 'b' "c" \\ ünïcode ✓ 🎉\n\ttwo lines`;
    await c.seed.logs([{ flowRunId: id, message }]);
    expect(await messages(id)).toEqual([message]);
  });

  it('is empty of a run without logs', async () => {
    expect(await read(await c.seed.flowRun(), '?offset=3')).toEqual({ offset: 3, logs: [] });
  });
});

describe('GET /proxy/flow_runs/logs/{id} refuses', () => {
  it.each([UNKNOWN, 'not-a-uuid'])('the unknown run %s', async (id) => {
    const reply = await c.host.get(`/proxy/flow_runs/logs/${id}`);
    expect(reply.status).toBe(404);
    expect(reply.json).toMatchObject({ detail: 'failed to fetch logs for flow_run' });
  });

  it.each([
    ['offset=', 'int_parsing', 'offset', ''],
    ['offset=1.5', 'int_parsing', 'offset', '1.5'],
    ['offset=-1', 'greater_than_equal', 'offset', '-1'],
    ['limit=-1', 'greater_than_equal', 'limit', '-1'],
    ['limit=', 'int_parsing', 'limit', ''],
    ['limit=ten', 'int_parsing', 'limit', 'ten'],
    ['task_run_id=x', 'uuid_parsing', 'task_run_id', 'x'],
  ])('%s', async (query, type, field, input) => {
    const reply = await c.host.get(`/proxy/flow_runs/logs/${UNKNOWN}?${query}`);
    expect(reply.status).toBe(422);
    expect(reply.json).toMatchObject({ detail: [{ type, loc: ['query', field], input }] });
  });
});
