import { describe, expect, it, vi } from 'vitest';
import { contract, lastUpstreamCalls } from '../support/contract.js';

const c = contract();

describe('GET /proxy/prefect/version', () => {
  it("is the orchestrator's own version, as JSON text", async () => {
    const direct = await (await fetch(`${c.apiUrl}/admin/version`)).text();
    const reply = await c.host.get('/proxy/prefect/version');
    expect([reply.status, reply.text]).toEqual([200, direct]);
    expect(reply.json).toMatch(/^3\.\d+\.\d+/);
    expect(lastUpstreamCalls(c.facade)).toBe(1);
  });
});

describe('GET /sentry-debug', () => {
  it('raises on purpose, says nothing about it, and logs where', async () => {
    const reply = await c.host.get('/sentry-debug');
    expect(reply.status).toBe(500);
    expect(reply.json).toEqual({
      detail: 'Internal Server Error',
      code: 'internal',
      request_id: reply.headers['x-request-id'],
    });
    const line = c.facade.lines.findLast(({ message }) => message === 'request');
    expect(line).toMatchObject({ level: 'error', route: '/sentry-debug', status: 500, cause: 'Error' });
  });
});

describe('POST /proxy/workers/filter/', () => {
  const URL = '/proxy/workers/filter/';

  /** A pool with a worker that polls one queue of it (made by the name "busy") and not the other ("idle"). */
  async function pool(label: string, workers = 1): Promise<{ name: string; busy: string; idle: string }> {
    const name = await c.seed.pool(c.seed.name(label));
    const [busy, idle] = [c.seed.name(`${label}-busy`), c.seed.name(`${label}-idle`)];
    for (const queue of [busy, idle])
      await c.seed.call('POST', `/work_pools/${name}/queues`, { name: queue });
    for (let n = 0; n < workers; n += 1) {
      await c.seed.call('POST', `/work_pools/${name}/workers/heartbeat`, { name: `worker-${n}` });
    }
    await c.seed.call('POST', `/work_pools/${name}/get_scheduled_flow_runs`, { work_queue_names: [busy] });
    // The server notes the poll after it has answered.
    await vi.waitFor(async () => {
      const queue = await c.seed.call('GET', `/work_pools/${name}/queues/${busy}`);
      expect(queue).toMatchObject({ status: 'READY' });
    }, 10_000);
    return { name, busy, idle };
  }

  const count = async (body: unknown) => {
    const reply = await c.host.post(URL, body);
    expect(reply.status).toBe(200);
    expect(Object.keys(reply.json as object)).toEqual(['count']);
    return (reply.json as { count: number }).count;
  };

  it('counts the workers of a pool', async () => {
    const { name } = await pool('two', 2);
    expect(await count({ work_pool_names: [name] })).toBe(2);
    expect(await count({ work_pool_names: [name], status: 'ONLINE' })).toBe(2);
    expect(await count({ work_pool_names: [name, name] })).toBe(2);
    expect(await count({ work_pool_names: [name], status: 'OFFLINE' })).toBe(0);
  });

  it('counts the workers of the pools whose queue is polled', async () => {
    const { name, busy, idle } = await pool('queues');
    expect(await count({ work_queue_names: [busy] })).toBe(1);
    expect(await count({ work_queue_names: [busy], work_pool_names: [name] })).toBe(1);
    expect(await count({ work_queue_names: [idle, busy] })).toBe(1);
    expect(await count({ work_queue_names: [idle] })).toBe(0);
    expect(await count({ work_queue_names: [idle], work_pool_names: [name] })).toBe(0);
    expect(await count({ work_queue_names: [c.seed.name('no-such')] })).toBe(0);
  });

  it('takes a queue of another pool for none', async () => {
    const [one, other] = [await pool('one'), await pool('other', 3)];
    expect(await count({ work_queue_names: [one.busy], work_pool_names: [other.name] })).toBe(0);
    expect(await count({ work_pool_names: [one.name, other.name] })).toBe(4);
    expect(await count({ work_queue_names: [one.busy, other.busy] })).toBe(4);
  });

  it.each([
    ['an empty object', {}],
    ['empty lists', { work_queue_names: [], work_pool_names: [] }],
    ['unknown pools', { work_pool_names: ['no-such', '', '..', 'a/b', 'a?b', 'ü😀'] }],
    ['unknown queues', { work_queue_names: ['no-such', '', '..', 'ü😀'] }],
    ['an unknown field', { pools: ['x'] }],
  ])('counts 0 for %s', async (_label, body) => {
    expect(await count(body)).toBe(0);
  });

  it.each(['BUSY', 'online', ''])('answers 400 to the status %j', async (status) => {
    const reply = await c.host.post(URL, { work_pool_names: [(await pool(`word-${status}`)).name], status });
    expect(reply.status).toBe(400);
    expect(reply.json).toMatchObject({ detail: 'failed to fetch prefect workers', code: 'bad_request' });
  });

  it.each([
    [{ work_queue_names: 'a' }, 'list_type', ['body', 'work_queue_names']],
    [{ work_pool_names: null }, 'list_type', ['body', 'work_pool_names']],
    [{ work_pool_names: [7] }, 'string_type', ['body', 'work_pool_names', 0]],
    [{ status: 1 }, 'string_type', ['body', 'status']],
    [undefined, 'missing', ['body']],
    [null, 'missing', ['body']],
    [[], 'model_attributes_type', ['body']],
  ])('refuses %j', async (body, type, loc) => {
    const reply = await c.host.post(URL, body);
    expect(reply.status).toBe(422);
    expect(reply.json).toMatchObject({ detail: [{ type, loc }], code: 'validation_failed' });
  });
});
