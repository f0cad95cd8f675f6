import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { contract, lastUpstreamCalls } from '../support/contract.js';
import { COMPLETED, RUNNING } from '../support/seed.js';

const c = contract();
const UNKNOWN = '00000000-0000-4000-8000-000000000000';
type Json = Record<string, unknown>;

const plan = (id: string, body: unknown) => c.host.post(`/proxy/deployments/${id}/flow_run/schedule`, body);
const run = async (id: string) => (await c.seed.call('GET', `/flow_runs/${id}`)) as Json;

/** A deployment that no other test knows. */
const fresh = (fields: Json = {}) => c.seed.deployment({ name: `planned-${randomUUID()}`, ...fields });

async function planned(id: string, body: Json): Promise<string> {
  const reply = await plan(id, body);
  expect([reply.status, reply.text]).toEqual([200, expect.any(String)]);
  const { flow_run_id, name } = reply.json as { flow_run_id: string; name: string };
  expect(reply.text).toBe(JSON.stringify({ flow_run_id, name }));
  return flow_run_id;
}

describe('POST /proxy/deployments/{id}/flow_run/schedule', () => {
  it.each([
    ['2040-01-31T03:00:00Z', '2040-01-31T03:00:00.000Z'],
    ['2040-01-31T03:00:00+05:30', '2040-01-30T21:30:00.000Z'],
    ['2040-01-31T03:00:00', '2040-01-31T03:00:00.000Z'],
    ['2040-01-31 03:00:00.250', '2040-01-31T03:00:00.250Z'],
    ['2040-01-31 03:00', '2040-01-31T03:00:00.000Z'],
    ['2040-01-31', '2040-01-31T00:00:00.000Z'],
    [2211591600, '2040-01-31T03:00:00.000Z'],
    [2211591600000, '2040-01-31T03:00:00.000Z'],
    ['2211591600', '2040-01-31T03:00:00.000Z'],
    [2211591600.5, '2040-01-31T03:00:00.500Z'],
  ])('plans a run for %j', async (scheduledTime, at) => {
    const id = await fresh({ parameters: { a: 1, b: 2 } });
    const made = await run(await planned(id, { runParams: { b: 3 }, scheduledTime }));
    expect(new Date(String(made['expected_start_time'])).toISOString()).toBe(at);
    expect(new Date(String(made['next_scheduled_start_time'])).toISOString()).toBe(at);
    expect(made).toMatchObject({
      deployment_id: id,
      parameters: { a: 1, b: 3 },
      state_type: 'SCHEDULED',
      state_name: 'Scheduled',
    });
  });

  it.each([['null', { scheduledTime: null }] as const, ['no time', {}] as const])(
    'plans a run for now (%s)',
    async (_label, fields) => {
      const id = await fresh();
      const made = await run(await planned(id, { runParams: {}, ...fields }));
      expect(Math.abs(Date.parse(String(made['expected_start_time'])) - Date.now())).toBeLessThan(30_000);
    },
  );

  it.each([
    ['2040-13-01T00:00:00Z', 'datetime_from_date_parsing'],
    ['2040-02-30T00:00:00Z', 'datetime_from_date_parsing'],
    ['2040-01-01T25:00:00Z', 'datetime_from_date_parsing'],
    ['tomorrow', 'datetime_from_date_parsing'],
    ['', 'datetime_from_date_parsing'],
    [1e20, 'datetime_from_date_parsing'],
    [true, 'datetime_type'],
    [{}, 'datetime_type'],
  ])('answers 422 to the time %j, and makes nothing', async (scheduledTime, type) => {
    const id = await fresh();
    const reply = await plan(id, { runParams: {}, scheduledTime });
    expect(reply.status).toBe(422);
    expect(reply.json).toMatchObject({ detail: [{ type, loc: ['body', 'scheduledTime'] }] });
    const filter = { deployments: { id: { any_: [id] } } };
    expect(await c.seed.call('POST', '/flow_runs/count', filter)).toBe(0);
  });

  it.each([
    ['{}', 'missing', ['body', 'runParams']],
    ['{"runParams":null}', 'dict_type', ['body', 'runParams']],
    ['{"runParams":[]}', 'dict_type', ['body', 'runParams']],
    ['{"runParams":{"n":18446744073709551616}}', 'int_parsing_size', ['body', 'runParams']],
    ['null', 'missing', ['body']],
    ['[]', 'model_attributes_type', ['body']],
  ])('answers 422 to %s', async (raw, type, loc) => {
    const reply = await c.host.send('POST', `/proxy/deployments/${UNKNOWN}/flow_run/schedule`, { raw });
    expect(reply.status).toBe(422);
    expect(reply.json).toMatchObject({ detail: [{ type, loc }] });
    expect(lastUpstreamCalls(c.facade)).toBe(0);
  });
});

describe('GET /proxy/v1/deployments/get_scheduled_flow_runs', () => {
  const URL = '/proxy/v1/deployments/get_scheduled_flow_runs';

  it('lists whole runs, soonest first, and only planned ones', async () => {
    const id = await c.seed.deployment({ name: c.seed.name('planned'), tags: ['org'] });
    const other = await c.seed.deployment({ name: c.seed.name('planned-other') });
    const ids: Record<string, string> = {};
    for (const year of ['2042', '2040', '2041']) {
      ids[year] = await planned(id, { runParams: { year }, scheduledTime: `${year}-01-01T00:00:00Z` });
    }
    await planned(other, { runParams: {}, scheduledTime: '2039-01-01T00:00:00Z' });
    for (const states of [[RUNNING], [COMPLETED]]) await c.seed.flowRun({ deploymentId: id, states });

    const reply = await c.host.get(`${URL}?deployment_id=${id}`);
    expect(reply.status).toBe(200);
    expect(lastUpstreamCalls(c.facade)).toBe(1);
    const { flow_runs: rows } = reply.json as { flow_runs: Json[] };
    expect(rows.map((row) => row['id'])).toEqual([ids['2040'], ids['2041'], ids['2042']]);
    for (const row of rows) {
      const direct = await run(String(row['id']));
      expect(Object.keys(row)).toEqual(Object.keys(direct));
      // Counted up to the moment of the reply.
      const counted = { estimated_start_time_delta: 0, estimated_run_time: 0 };
      expect({ ...row, ...counted }).toEqual({ ...direct, ...counted });
    }
  });

  it('is empty where nothing is planned', async () => {
    const reply = await c.host.get(`${URL}?deployment_id=${await fresh()}`);
    expect([reply.status, reply.text]).toEqual([200, '{"flow_runs":[]}']);
  });

  it('takes the last of repeated queries', async () => {
    const id = await fresh();
    expect((await c.host.get(`${URL}?deployment_id=x&deployment_id=${id}`)).status).toBe(200);
    expect((await c.host.get(`${URL}/?deployment_id=${id}&deployment_id=x`)).status).toBe(422);
  });

  it.each([
    ['', 'missing'],
    ['?deployment_ids=x', 'missing'],
    ['?deployment_id=', 'uuid_parsing'],
    ['?deployment_id=..', 'uuid_parsing'],
    ['?deployment_id=%F0%9F%98%80', 'uuid_parsing'],
  ])('answers 422 to the query "%s"', async (query, type) => {
    const reply = await c.host.get(URL + query);
    expect(reply.status).toBe(422);
    expect(reply.json).toMatchObject({ detail: [{ type, loc: ['query', 'deployment_id'] }] });
    expect(lastUpstreamCalls(c.facade)).toBe(0);
  });
});
