import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { lastUpstreamCalls } from './support/contract.js';
import { startFacade, type Facade } from './support/facade.js';
import { Host, type Reply } from './support/host.js';
import { startMockOrchestrator, type MockOrchestrator } from './support/mock/index.js';
import { COMPLETED, Seed } from './support/seed.js';

let mock: MockOrchestrator;
let facade: Facade;
let host: Host;
let seed: Seed;

beforeAll(async () => {
  mock = await startMockOrchestrator();
  facade = await startFacade(mock.url);
  host = new Host(facade.url);
  seed = new Seed(mock.url);
});
afterAll(async () => {
  expect(mock.unexpected).toEqual([]);
  await host.close();
  await facade.close();
  await mock.close();
});

const many = <T>(count: number, make: (n: number) => Promise<T>) =>
  Promise.all(Array.from({ length: count }, (_, n) => make(n)));

/** A task run that is made in its last state, by one call: here are many. */
async function taskRun(flowRunId: string, name: string): Promise<string> {
  const body = { flow_run_id: flowRunId, task_key: name, dynamic_key: name, name, state: COMPLETED };
  return ((await seed.call('POST', '/task_runs/', body)) as { id: string }).id;
}

const UUIDS = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;

/** The reply and the upstream calls it took. Fails where calls differ in nothing but an id: a loop over ids. */
async function get(path: string): Promise<{ reply: Reply; calls: number }> {
  mock.reset();
  const reply = await host.get(path);
  expect(reply.status, reply.text).toBe(200);
  const paths = mock.calls.map((call) => `${call.method} ${call.path}`).filter((text) => UUIDS.test(text));
  const patterns = paths.map((text) => text.replace(UUIDS, '{id}'));
  expect(new Set(patterns).size).toBe(new Set(paths).size);
  expect(lastUpstreamCalls(facade)).toBe(mock.calls.length);
  return { reply, calls: mock.calls.length };
}

const listOf = (reply: Reply) => (reply.json as { flow_runs: { id: string }[] }).flow_runs;

describe('a list of runs', () => {
  it.each([50, 200])('of %i runs takes at most 3 calls', async (count) => {
    const deploymentId = await seed.deployment({ name: `runs ${count}` });
    await many(count, () => seed.flowRun({ deploymentId, state: COMPLETED }));
    const { reply, calls } = await get(`/proxy/flow_runs?deployment_id=${deploymentId}`);
    expect(listOf(reply)).toHaveLength(count);
    expect(calls).toBeLessThanOrEqual(3);
  });

  it('takes one call more for each depth of subflows', async () => {
    const deploymentId = await seed.deployment({ name: 'deep' });
    const runs = await many(10, () => seed.flowRun({ deploymentId, state: COMPLETED }));
    let level = runs;
    for (const depth of [1, 2, 3]) {
      const parents = level;
      level = (await many(10, (n) => seed.subflow(parents[n] ?? '', { state: COMPLETED }))).map(
        ({ id }) => id,
      );
      const { calls } = await get(`/proxy/flow_runs?deployment_id=${deploymentId}`);
      expect(calls).toBeLessThanOrEqual(2 + depth);
    }
    await seed.taskRun(level[7] ?? '', 'dbt', [{ type: 'COMPLETED', name: 'DBT_TEST_FAILED' }]);
    const { reply } = await get(`/proxy/flow_runs?deployment_id=${deploymentId}`);
    const failed = (reply.json as { flow_runs: { id: string; state_name: string }[] }).flow_runs.filter(
      (run) => run.state_name === 'DBT_TEST_FAILED',
    );
    expect(failed.map((run) => run.id)).toEqual([runs[7]]);
    const one = await get(`/proxy/flow_runs/${runs[7] ?? ''}`);
    expect(one.reply.json).toMatchObject({ state_name: 'DBT_TEST_FAILED' });
    expect(one.calls).toBeLessThanOrEqual(2 + 3);
  });

  it('is complete beyond a page, and each further page is one call', async () => {
    const deploymentId = await seed.deployment({ name: 'long' });
    const ids = await many(450, () => seed.flowRun({ deploymentId, state: COMPLETED }));
    const { reply, calls } = await get(`/proxy/flow_runs?deployment_id=${deploymentId}&limit=0`);
    expect(new Set(listOf(reply).map((run) => run.id))).toEqual(new Set(ids));
    expect(listOf(reply)).toHaveLength(450);
    // The list, its children, two further pages and one beyond the end.
    expect(calls).toBeLessThanOrEqual(2 + 3);
    const part = await get(`/proxy/flow_runs?deployment_id=${deploymentId}&limit=201`);
    expect(listOf(part.reply)).toEqual(listOf(reply).slice(0, 201));
  });
});

describe('a graph', () => {
  it.each([5, 200, 500])('of %i task runs takes at most 3 calls', async (count) => {
    const run = await seed.flowRun();
    await many(count, (n) => taskRun(run, `task ${n}`));
    const { reply, calls } = await get(`/proxy/flow_runs/graph/${run}`);
    const nodes = reply.json as { state_name: string }[];
    expect(nodes).toHaveLength(count);
    expect(new Set(nodes.map((node) => node.state_name))).toEqual(new Set(['Completed']));
    expect(calls).toBeLessThanOrEqual(3);
  });

  it('of 60 subflows takes at most 3 calls', async () => {
    const run = await seed.flowRun();
    const input = { state: COMPLETED, parameters: { payload: { n: 1 } } };
    await many(60, () => seed.subflow(run, input));
    const { reply, calls } = await get(`/proxy/flow_runs/graph/${run}`);
    const nodes = reply.json as { parameters: unknown }[];
    expect(nodes.map((node) => node.parameters)).toEqual(nodes.map(() => ({ n: 1 })));
    expect(nodes).toHaveLength(60);
    expect(calls).toBeLessThanOrEqual(3);
  });
});

describe('logs', () => {
  it.each([
    [4, 3],
    // Three pages, and one beyond the end that was read at once with the third.
    [12, 3 + 3],
  ])('of 40 nodes with %i lines each take at most %i calls', async (lines, most) => {
    const run = await seed.flowRun();
    const tasks = await many(40, (n) => taskRun(run, `task ${n}`));
    const rows = tasks.flatMap((taskRunId, task) =>
      Array.from({ length: lines }, (_, n) => ({
        flowRunId: run,
        taskRunId,
        message: `${task}.${n}`,
        at: n,
      })),
    );
    await seed.logs(rows);
    const { reply, calls } = await get(`/proxy/flow_runs/v1/logs/${run}`);
    for (const node of reply.json as { id: string; logs: { message: string }[] }[]) {
      const own = Array.from({ length: lines }, (_, n) => `${tasks.indexOf(node.id)}.${n}`);
      expect(node.logs.map((log) => log.message)).toEqual(own);
    }
    expect(calls).toBeLessThanOrEqual(most);
  });

  it('of a run and its subflows take one call for each depth, and one for each page', async () => {
    const run = await seed.flowRun();
    const subflows = await many(30, () => seed.subflow(run));
    const rows = subflows.flatMap(({ id }, n) =>
      Array.from({ length: 15 }, (_, at) => ({ flowRunId: id, message: `${n}.${at}`, at: n * 100 + at })),
    );
    await seed.logs(rows);
    const { reply, calls } = await get(`/proxy/flow_runs/logs/${run}`);
    const { logs } = reply.json as { logs: { message: string }[] };
    expect(logs.map((log) => log.message)).toEqual(rows.map((row) => row.message));
    // The run, two levels of its family, three pages and one beyond the end.
    expect(calls).toBeLessThanOrEqual(3 + 4);
  });

  it('are read several pages at once', async () => {
    const run = await seed.flowRun();
    await seed.logs(
      Array.from({ length: 1_500 }, (_, at) => ({ flowRunId: run, message: randomUUID(), at })),
    );
    mock.reset();
    mock.fault((call) => (call.path === '/logs/filter' ? { delayMs: 50 } : undefined));
    const reply = await host.get(`/proxy/flow_runs/logs/${run}`);
    expect((reply.json as { logs: unknown[] }).logs).toHaveLength(1_500);
    expect(mock.maxInFlight()).toBeGreaterThan(1);
  });
});

/** A host of another facade, both gone after the test. */
async function guestOf(apiUrl: string, env: Record<string, string> = {}): Promise<Host> {
  const other = await startFacade(apiUrl, env);
  const guest = new Host(other.url);
  onTestFinished(async () => {
    await guest.close();
    await other.close();
  });
  return guest;
}

describe('limits', () => {
  it('cuts a list at LIST_CEILING and says so in a header', async () => {
    const guest = await guestOf(mock.url, { LIST_CEILING: '30' });
    const run = await seed.flowRun();
    await seed.logs(Array.from({ length: 31 }, (_, at) => ({ flowRunId: run, message: String(at), at })));
    const cut = await guest.get(`/proxy/flow_runs/logs/${run}`);
    expect((cut.json as { logs: unknown[] }).logs).toHaveLength(30);
    expect(cut.headers['x-result-cut-at']).toBe('30');
    for (const query of ['?limit=30', '?offset=1', '?limit=5']) {
      const whole = await guest.get(`/proxy/flow_runs/logs/${run}${query}`);
      expect(whole.headers).not.toHaveProperty('x-result-cut-at');
    }
    const deploymentId = await seed.deployment({ name: 'cut' });
    await many(31, () => seed.flowRun({ deploymentId, state: COMPLETED }));
    const runs = await guest.get(`/proxy/flow_runs?deployment_id=${deploymentId}`);
    expect([listOf(runs).length, runs.headers['x-result-cut-at']]).toEqual([30, '30']);
  });

  it.each([1, 3])("is complete under an operator's lower page limit, %i lists at first", async (count) => {
    const strict = await startMockOrchestrator({ pageLimit: 50 });
    onTestFinished(() => strict.close());
    const strictSeed = new Seed(strict.url);
    const deploymentId = await strictSeed.deployment();
    await many(120, () => strictSeed.flowRun({ deploymentId, state: COMPLETED }));
    const guest = await guestOf(strict.url);
    const list = () => guest.get(`/proxy/flow_runs?deployment_id=${deploymentId}`);
    for (const reply of [...(await many(count, list)), await list()]) {
      expect(reply.status, reply.text).toBe(200);
      expect(new Set(listOf(reply).map((run) => run.id)).size).toBe(120);
    }
  });
});
