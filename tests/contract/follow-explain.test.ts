import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { contract, lastUpstreamCalls } from '../support/contract.js';
import { COMPLETED, FAILED, RUNNING } from '../support/seed.js';

const c = contract();
const isLive = process.env['PREFECT_VERSION_UNDER_TEST'] !== undefined;
const UNKNOWN = '00000000-0000-4000-8000-000000000000';

afterEach(() => {
  vi.useRealTimers();
});

interface Explanation {
  state_type: string;
  since_seconds: number;
  reasons: { code: string; message: string; holders?: { flow_run_id: string; name: string }[] }[];
}

async function explain(id: string): Promise<Explanation> {
  const reply = await c.host.get(`/proxy/v1/flow_runs/${id}/explain`);
  expect(reply.status, reply.text).toBe(200);
  return reply.json as Explanation;
}
const codes = async (id: string) => (await explain(id)).reasons.map(({ code }) => code);

const unique = (text: string) => c.seed.name(`${text}-${randomUUID().slice(0, 8)}`);
const ago = (seconds: number) => new Date(Date.now() - seconds * 1000).toISOString();

const beat = (pool: string) =>
  c.seed.call('POST', `/work_pools/${pool}/workers/heartbeat`, {
    name: 'worker',
    heartbeat_interval_seconds: 30,
  });

/** A pool with a worker, a queue that is polled, a deployment, and a run of it that should have started. */
async function place(
  given: { pool?: object; queue?: object; deployment?: object; worker?: boolean; polled?: boolean } = {},
) {
  const [pool, queue] = [unique('pool'), unique('queue')];
  await c.seed.call('POST', '/work_pools/', { name: pool, type: 'process', ...given.pool });
  await c.seed.call('POST', `/work_pools/${pool}/queues`, { name: queue, ...given.queue });
  if (given.worker !== false) await beat(pool);
  if (given.polled !== false)
    await c.seed.call('POST', `/work_pools/${pool}/get_scheduled_flow_runs`, { work_queue_names: [queue] });
  const deployment = await c.seed.deployment({
    name: unique('dep'),
    work_pool_name: pool,
    work_queue_name: queue,
    ...given.deployment,
  });
  return { pool, queue, deployment, run: await c.seed.lateRun(deployment, ago(60)) };
}

/** Another run of the deployment, that a worker has taken. */
async function taken(deployment: string): Promise<string> {
  const id = await c.seed.lateRun(deployment, ago(120));
  await c.seed.call('POST', `/flow_runs/${id}/set_state`, { state: { type: 'PENDING', name: 'Pending' } });
  return id;
}

describe('GET /proxy/v1/flow_runs/{id}/explain, of a run that has not started', () => {
  it('nothing holds it', async () => {
    const { run, pool, queue, deployment } = await place();
    expect(await explain(run)).toEqual({
      flow_run_id: run,
      name: expect.any(String) as string,
      state_type: 'SCHEDULED',
      state_name: 'Late',
      state_message: null,
      since_seconds: expect.any(Number) as number,
      deployment_id: deployment,
      work_pool_name: pool,
      work_queue_name: queue,
      reasons: [{ code: 'due', message: 'Nothing holds it: a worker should take it within seconds.' }],
    });
    expect(lastUpstreamCalls(c.facade)).toBeLessThanOrEqual(7);
  });

  it('the work pool is paused', async () => {
    const { run } = await place({ pool: { is_paused: true } });
    expect(await codes(run)).toEqual(['work_pool_paused']);
  });

  it('the work queue is paused', async () => {
    const { run, queue } = await place({ queue: { is_paused: true } });
    const { reasons } = await explain(run);
    expect(reasons).toEqual([{ code: 'work_queue_paused', message: `Its work queue ${queue} is paused.` }]);
  });

  it('no worker is online', async () => {
    const { run } = await place({ worker: false });
    expect(await codes(run)).toEqual(['no_online_worker']);
  });

  it('workers are online, and none asks for the queue', async () => {
    const { run } = await place({ polled: false });
    expect(await codes(run)).toEqual(['queue_not_polled']);
  });

  it.each([
    ['work_pool_limit_full', { pool: { concurrency_limit: 1 } }],
    ['work_queue_limit_full', { queue: { concurrency_limit: 1 } }],
    ['deployment_limit_full', { deployment: { concurrency_limit: 1 } }],
  ])('%s, and who holds it', async (code, given) => {
    const { run, deployment } = await place(given);
    expect(await codes(run)).toEqual(['due']);
    const holder = await taken(deployment);
    const { reasons } = await explain(run);
    expect(reasons).toEqual([
      {
        code,
        message: expect.stringContaining('is full: 1 at a time') as string,
        holders: [{ flow_run_id: holder, name: expect.any(String) as string }],
      },
    ]);
  });

  it('it is to start later', async () => {
    const { deployment } = await place();
    const run = await c.seed.lateRun(deployment, '2040-01-31T03:00:00Z');
    expect(await codes(run)).toEqual(['scheduled_for_later']);
  });

  it('the schedule is paused: no reason by itself', async () => {
    const { run } = await place({ deployment: { paused: true } });
    expect(await codes(run)).toEqual(['due', 'schedule_paused']);
  });

  it('several at once', async () => {
    const given = { queue: { is_paused: true }, pool: { is_paused: true }, worker: false };
    const { run } = await place(given);
    expect(await codes(run)).toEqual(['work_pool_paused', 'work_queue_paused', 'no_online_worker']);
  });

  it('it has no deployment, or its deployment has no work pool', async () => {
    expect(await codes(await c.seed.flowRun({ state: { type: 'SCHEDULED' } }))).toEqual(['no_deployment']);
    const served = await c.seed.deployment({ name: unique('served') });
    expect(await codes(await c.seed.lateRun(served, ago(60)))).toEqual(['no_work_pool']);
  });

  it.each(['pool', 'queue'])('its work %s was deleted', async (what) => {
    const { run, pool, queue, deployment } = await place();
    await c.seed.call('DELETE', `/work_pools/${pool}${what === 'queue' ? `/queues/${queue}` : ''}`);
    const message = `Its work queue ${queue} has been deleted, or the work pool that it was in: no worker takes it.`;
    expect(await explain(run)).toMatchObject({ reasons: [{ code: 'work_queue_deleted', message }] });
    // Nor does the deployment know where new ones should go.
    const later = await c.seed.lateRun(deployment, ago(60));
    expect(await codes(later)).toEqual(['work_queue_deleted']);
  });

  it('its deployment was deleted before it was to be tried again', async () => {
    const { deployment, run } = await place();
    await c.seed.setState('flow_runs', run, FAILED);
    // With it go only those of its runs that are planned.
    await c.seed.call('DELETE', `/deployments/${deployment}`);
    await c.seed.setState('flow_runs', run, { type: 'SCHEDULED', name: 'AwaitingRetry' });
    expect((await explain(run)).reasons).toEqual([
      { code: 'deployment_deleted', message: 'Its deployment has been deleted.' },
    ]);
  });
});

describe('GET /proxy/v1/flow_runs/{id}/explain, of a run that a worker took', () => {
  it('it is starting', async () => {
    const { deployment } = await place();
    expect(await codes(await taken(deployment))).toEqual(['starting']);
  });

  it('it is starting, and the worker is gone', async () => {
    const { deployment } = await place({ worker: false });
    expect(await codes(await taken(deployment))).toEqual(['no_online_worker', 'starting']);
  });

  it('it has been starting for longer than a process needs', async () => {
    const { deployment, pool } = await place();
    const run = await taken(deployment);
    expect(await codes(run)).toEqual(['starting']);
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 150_000 });
    // The mock's clock is ours.
    await beat(pool);
    expect((await explain(run)).reasons).toEqual([
      {
        code: 'stuck_pending',
        message: expect.stringMatching(/^A worker took it 1[5-9]\d s ago, and it has not begun/) as string,
      },
    ]);
  });

  it('it runs', async () => {
    const { deployment } = await place();
    const run = await taken(deployment);
    await c.seed.setState('flow_runs', run, RUNNING);
    expect(await codes(run)).toEqual(['running']);
  });

  it('its task runs wait for a tag, and who holds it', async () => {
    const tag = unique('tag');
    await c.seed.call('POST', '/concurrency_limits/', { tag, concurrency_limit: 1 });
    const [holder, run] = [
      await c.seed.flowRun({ name: unique('holder'), states: [RUNNING] }),
      await c.seed.flowRun({ states: [RUNNING] }),
    ];
    const task = (flowRunId: string) =>
      c.seed.call('POST', '/task_runs/', {
        flow_run_id: flowRunId,
        task_key: 'load',
        dynamic_key: '0',
        tags: [tag],
        state: { type: 'PENDING', name: 'Pending' },
      }) as Promise<{ id: string }>;
    const { id: holding } = await task(holder);
    await task(run);
    expect(await codes(run)).toEqual(['running']);
    await c.seed.call('POST', '/concurrency_limits/increment', { names: [tag], task_run_id: holding });
    expect((await explain(run)).reasons).toEqual([
      {
        code: 'tag_limit_full',
        message: `Task runs of it wait for the tag ${tag}: its limit of 1 is full.`,
        holders: [{ flow_run_id: holder, name: expect.stringContaining('holder') as string }],
      },
    ]);
    await c.seed.call('DELETE', `/concurrency_limits/tag/${tag}`);
  });

  it.skipIf(isLive)('its task runs wait for a tag, behind more limits than fit on a page', async () => {
    const tag = unique('tag');
    for (let n = 0; n < 201; n += 1)
      await c.seed.call('POST', '/v2/concurrency_limits/', { name: unique('deployment'), limit: 1 });
    await c.seed.call('POST', '/concurrency_limits/', { tag, concurrency_limit: 1 });
    const run = await c.seed.flowRun({ states: [RUNNING] });
    const waiting = { task_key: 'load', dynamic_key: '0', tags: [tag], state: { type: 'PENDING' } };
    await c.seed.call('POST', '/task_runs/', { flow_run_id: run, ...waiting });
    const names = [tag];
    await c.seed.call('POST', '/concurrency_limits/increment', { names, task_run_id: randomUUID() });
    expect(await codes(run)).toEqual(['tag_limit_full']);
  });

  it('its process has not been heard of', async () => {
    const { deployment } = await place({ worker: false });
    const run = await taken(deployment);
    await c.seed.setState('flow_runs', run, RUNNING);
    const beat = (seconds: number) => ({
      id: randomUUID(),
      occurred: ago(seconds),
      event: 'prefect.flow-run.heartbeat',
      resource: { 'prefect.resource.id': `prefect.flow-run.${run}` },
    });
    await c.seed.call('POST', '/events', [beat(1_000), beat(800)]);
    // A real server lists events some seconds later.
    await expect
      .poll(() => codes(run), { timeout: 30_000, interval: 200 })
      .toEqual(['heartbeat_lost', 'no_online_worker']);
    await c.seed.call('POST', '/events', [beat(0)]);
    await expect.poll(() => codes(run), { timeout: 30_000, interval: 200 }).toEqual(['running']);
  });

  it('it is to be cancelled', async () => {
    const { deployment } = await place();
    const run = await taken(deployment);
    for (const state of [RUNNING, { type: 'CANCELLING', name: 'Cancelling' }])
      await c.seed.setState('flow_runs', run, state);
    expect(await codes(run)).toEqual(['cancelling']);
  });

  it('it is paused', async () => {
    const run = await c.seed.flowRun({ states: [RUNNING, { type: 'PAUSED', name: 'Paused' }] });
    expect(await codes(run)).toEqual(['awaiting_resume']);
  });

  it('it has ended', async () => {
    const run = await c.seed.flowRun({ states: [{ ...COMPLETED, message: 'all 3 of them' }] });
    expect((await explain(run)).reasons).toEqual([
      { code: 'ended', message: 'It has ended as Completed: all 3 of them' },
    ]);
  });
});

it.each([UNKNOWN, 'not-a-uuid'])('explain refuses the unknown run %s', async (id) => {
  const reply = await c.host.get(`/proxy/v1/flow_runs/${id}/explain`);
  expect(reply).toMatchObject({ status: 404, json: { detail: `failed to fetch flow_run ${id}` } });
});
