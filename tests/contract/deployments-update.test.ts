import { beforeAll, describe, expect, it } from 'vitest';
import { contract } from '../support/contract.js';

const c = contract();
const FAILED = 'failed to update the deployment';
const UNKNOWN = '00000000-0000-4000-8000-000000000000';
type Json = Record<string, unknown>;
let pool = '';

beforeAll(async () => {
  pool = await c.seed.pool();
});

const stored = async (id: string) => (await c.seed.call('GET', `/deployments/${id}`)) as Json;
const put = (id: string, body: unknown) => c.host.put(`/proxy/v1/deployments/${id}`, body);

/** A deployment as this service makes it. */
async function made(label: string, fields: Json = {}): Promise<string> {
  const reply = await c.host.post('/proxy/v1/deployments/', {
    flow_name: 'pipeline',
    deployment_name: c.seed.name(label),
    org_slug: c.seed.name('org'),
    deployment_params: { config: { v: 1 }, dbt_blocks: [1] },
    cron: '0 1 * * *',
    work_pool_name: pool,
    work_queue_name: 'q1',
    ...fields,
  });
  return (reply.json as { deployment: { id: string } }).deployment.id;
}

describe('PUT /proxy/v1/deployments/{id}', () => {
  it('replaces parameters and schedule, and nothing else', async () => {
    const id = await made('replace');
    const before = await stored(id);
    const reply = await put(id, { deployment_params: { config: { v: 3 } }, cron: '30 2 * * 1-5' });
    expect([reply.status, reply.text]).toEqual([200, '{"success":1}']);
    const after = await stored(id);
    expect(after).toEqual({
      ...before,
      updated: after['updated'],
      parameters: { config: { v: 3 } },
      schedules: [
        expect.objectContaining({
          active: true,
          schedule: { cron: '30 2 * * 1-5', timezone: null, day_or: true },
        }),
      ],
    });
  });

  it.each([
    ['null', { cron: null }],
    ['empty', { cron: '' }],
    ['absent', {}],
  ])('leaves no schedule where cron is %s', async (label, fields) => {
    const id = await made(`cron-${label}`);
    await put(id, { deployment_params: { config: {} }, ...fields });
    expect((await stored(id))['schedules']).toEqual([]);
    expect((await c.host.get(`/proxy/deployments/${id}`)).json).toMatchObject({
      cron: '',
      isScheduleActive: false,
    });
  });

  it('takes an empty object for no parameters', async () => {
    const id = await made('empty');
    expect((await put(id, {})).text).toBe('{"success":1}');
    expect(await stored(id)).toMatchObject({ parameters: {}, work_pool_name: pool, work_queue_name: 'q1' });
  });

  it('stays switched off, and so does its new schedule', async () => {
    const id = await made('paused');
    await c.host.post(`/proxy/deployments/${id}/set_schedule/inactive`, {});
    await put(id, { deployment_params: { config: {} }, cron: '0 2 * * *' });
    expect(await stored(id)).toMatchObject({
      paused: true,
      schedules: [{ active: false, schedule: { cron: '0 2 * * *' } }],
    });
    expect((await c.host.get(`/proxy/deployments/${id}`)).json).toMatchObject({
      cron: '0 2 * * *',
      isScheduleActive: false,
    });
    await c.host.post(`/proxy/deployments/${id}/set_schedule/active`, {});
    expect(await stored(id)).toMatchObject({ paused: false, schedules: [{ active: true }] });
  });

  it.each([
    ['queue', { work_queue_name: 'q2' }, 'q2'],
    ['nulls', { work_queue_name: null, work_pool_name: null }, 'q1'],
    ['empty', { work_queue_name: '', work_pool_name: '' }, 'q1'],
  ])('stays in its pool where none is given (%s)', async (label, fields, queue) => {
    const id = await made(`stays-${label}`);
    await put(id, { deployment_params: { config: {} }, ...fields });
    expect(await stored(id)).toMatchObject({ work_pool_name: pool, work_queue_name: queue });
  });

  it('moves to the pool and queue given', async () => {
    const id = await made('moves');
    const other = await c.seed.pool(c.seed.name('other'));
    await put(id, { deployment_params: {}, work_pool_name: other, work_queue_name: 'q9' });
    expect(await stored(id)).toMatchObject({ work_pool_name: other, work_queue_name: 'q9' });
  });

  it.each([
    ['several', [{ schedule: { cron: '0 5 * * *' } }, { schedule: { interval: 3600 } }]],
    [
      'with slugs',
      [
        { slug: 'a', schedule: { cron: '0 5 * * *' } },
        { slug: 'b', schedule: { interval: 60 } },
      ],
    ],
    ['some slugs', [{ slug: 'a', schedule: { cron: '0 5 * * *' } }, { schedule: { interval: 60 } }]],
    ['our slug', [{ slug: 'prefect-proxy', schedule: { interval: 60 } }]],
  ])('replaces schedules of others (%s)', async (label, schedules) => {
    const id = await c.seed.deployment({ name: c.seed.name(label.replace(' ', '-')), schedules });
    for (const cron of ['0 6 * * *', '0 7 * * *']) {
      expect((await put(id, { deployment_params: {}, cron })).status).toBe(200);
      expect((await stored(id))['schedules']).toEqual([
        expect.objectContaining({ schedule: expect.objectContaining({ cron }) as unknown, active: true }),
      ]);
    }
    await put(id, { deployment_params: {} });
    expect((await stored(id))['schedules']).toEqual([]);
  });

  it.each([
    ['pool', { work_pool_name: 'no-such-pool' }, 404, 'not_found'],
    ['cron', { cron: 'nope' }, 400, 'bad_request'],
    ['parameters', { deployment_params: { config: 'tell-nobody' } }, 409, 'conflict'],
  ])('refuses a wrong %s, and changes nothing', async (label, fields, status, code) => {
    const id = await made(`wrong-${label}`);
    const before = await stored(id);
    const reply = await put(id, { deployment_params: { config: { v: 2 } }, ...fields });
    expect(reply.status).toBe(status);
    expect(reply.json).toMatchObject({ detail: FAILED, code });
    expect(reply.text).not.toContain('tell-nobody');
    const after = await stored(id);
    for (const key of ['parameters', 'schedules', 'work_pool_name']) expect(after[key]).toEqual(before[key]);
  });

  it.each([
    ['a list', [1], 'model_attributes_type', ['body']],
    ['null', null, 'missing', ['body']],
    ['parameters that are text', { deployment_params: '{}' }, 'dict_type', ['body', 'deployment_params']],
    ['parameters null', { deployment_params: null }, 'dict_type', ['body', 'deployment_params']],
  ])('answers 422 to %s', async (_label, body, type, loc) => {
    const reply = await put(UNKNOWN, body);
    expect(reply.status).toBe(422);
    expect(reply.json).toMatchObject({ detail: [{ type, loc }] });
  });

  it.each([UNKNOWN, 'x', '..%3F', '%F0%9F%98%80'])('answers 404 for %s', async (id) => {
    const reply = await put(id, {});
    expect(reply.status).toBe(404);
    expect(reply.json).toMatchObject({ detail: FAILED, code: 'not_found' });
  });

  it('answers 422 to a number beyond 64 bits, and changes nothing', async () => {
    const id = await made('too-big');
    const raw = '{"deployment_params":{"config":{"n":18446744073709551616}}}';
    const reply = await c.host.send('PUT', `/proxy/v1/deployments/${id}`, { raw });
    expect(reply.status).toBe(422);
    expect((await stored(id))['parameters']).toEqual({ config: { v: 1 }, dbt_blocks: [1] });
  });
});
