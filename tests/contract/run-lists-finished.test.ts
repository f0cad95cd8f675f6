import { beforeAll, describe, expect, it } from 'vitest';
import { contract } from '../support/contract.js';
import { COMPLETED, FAILED, RUNNING, SCHEDULED, isoTime, micros } from '../support/seed.js';

const c = contract();
const UNKNOWN = '00000000-0000-4000-8000-000000000000';
const HOUR = 3_600_000_000;

interface Row {
  id: string;
  startTime: string;
  status: string;
}

async function list(query: string): Promise<Row[]> {
  const reply = await c.host.get(`/proxy/flow_runs?${query}`);
  expect(reply.status, reply.text).toBe(200);
  return (reply.json as { flow_runs: Row[] }).flow_runs;
}

const idsOf = (rows: { id: string }[]) => rows.map((row) => row.id);

describe('GET /proxy/flow_runs', () => {
  let deploymentId: string;
  /** Newest start first. */
  let ids: string[];

  beforeAll(async () => {
    deploymentId = await c.seed.deployment({ name: c.seed.name('finished') });
    const make = (name: string) => c.seed.flowRun({ deploymentId, name: c.seed.name(name), tags: ['acme'] });
    // Made in one order, started in another.
    const [a, b, d] = [await make('a'), await make('b'), await make('c')];
    ids = [a, d, b];
    for (const id of [b, d, a]) await c.seed.setState('flow_runs', id, RUNNING);
    for (const id of [a, b]) await c.seed.setState('flow_runs', id, COMPLETED);
    await c.seed.setState('flow_runs', d, FAILED);
  });

  it('lists newest start first, with the fields and values of each run', async () => {
    const rows = await list(`deployment_id=${deploymentId}`);
    expect(idsOf(rows)).toEqual(ids);
    const run = (await c.seed.call('GET', `/flow_runs/${ids[1] ?? ''}`)) as Record<string, unknown>;
    expect(JSON.stringify(rows[1])).toBe(
      JSON.stringify({
        id: run['id'],
        name: run['name'],
        tags: ['acme'],
        startTime: run['start_time'],
        expectedStartTime: run['expected_start_time'],
        totalRunTime: run['total_run_time'],
        status: 'FAILED',
        state_name: 'Failed',
      }),
    );
  });

  it.each([
    ['limit=2', 2],
    ['limit=+2', 2],
    ['limit=%2B2', 2],
    ['limit=%202%20', 2],
    ['limit=2.0', 2],
    ['limit=1&limit=2', 2],
    ['limit=99&limit=1', 1],
    ['limit=0', 3],
    ['limit=3', 3],
    ['limit=201', 3],
    ['', 3],
    ['surprise=1', 3],
  ])('%s gives the first %i', async (query, count) => {
    expect(idsOf(await list(`deployment_id=${deploymentId}&${query}`))).toEqual(ids.slice(0, count));
  });

  const inZone = (time: string) => isoTime(micros(time) + 5.5 * HOUR).replace('Z', '');
  it.each<[string, (start: string) => string, (start: number) => number]>([
    ['the start itself', (start) => start, (start) => start],
    ['a microsecond more', (start) => isoTime(micros(start) + 1), (start) => start + 1],
    ['a microsecond less', (start) => isoTime(micros(start) - 1), (start) => start - 1],
    ['a + that the query turned into a blank', (start) => start.replace('Z', '+00:00'), (start) => start],
    ['another zone', (start) => `${inZone(start)}%2B05:30`, (start) => start],
    ['another zone, + as it is', (start) => `${inZone(start)}+05:30`, (start) => start],
    ['no zone, which is UTC', (start) => start.replace('Z', ''), (start) => start],
    ['a blank instead of T', (start) => start.replace('T', '%20'), (start) => start],
    [
      'milliseconds',
      (start) => String(Math.floor(micros(start) / 1e3)),
      (start) => Math.floor(start / 1e3) * 1e3,
    ],
    ['seconds', (start) => String(Math.floor(micros(start) / 1e6)), (start) => Math.floor(start / 1e6) * 1e6],
    ['a date', (start) => start.slice(0, 10), (start) => Math.floor(start / (24 * HOUR)) * 24 * HOUR],
    ['nothing', () => '', () => 0],
  ])('start_time_gt as %s', async (_, written, meant) => {
    const all = await list(`deployment_id=${deploymentId}`);
    const start = all[1]?.startTime ?? '';
    const from = meant(micros(start));
    const rows = await list(`deployment_id=${deploymentId}&start_time_gt=${written(start)}`);
    expect(idsOf(rows)).toEqual(idsOf(all.filter((row) => micros(row.startTime) >= from)));
  });

  it('lists terminal runs only', async () => {
    const other = await c.seed.deployment({ name: c.seed.name('terminal') });
    const later = { scheduled_time: '2999-01-01T00:00:00Z' };
    const states = [
      'PENDING',
      'RUNNING',
      'PAUSED',
      'CANCELLING',
      'COMPLETED',
      'FAILED',
      'CRASHED',
      'CANCELLED',
    ];
    for (const type of states) await c.seed.flowRun({ deploymentId: other, state: { type } });
    await c.seed.flowRun({ deploymentId: other, state: { ...SCHEDULED, state_details: later } });
    const rows = await list(`deployment_id=${other}`);
    expect(rows.map((row) => row.status).sort()).toEqual(['CANCELLED', 'COMPLETED', 'CRASHED', 'FAILED']);
  });

  it('lists nothing of an unknown deployment', async () => {
    const reply = await c.host.get(`/proxy/flow_runs?deployment_id=${UNKNOWN}`);
    expect([reply.status, reply.json]).toEqual([200, { flow_runs: [] }]);
  });
});

describe('GET /proxy/flow_runs refuses', () => {
  it.each([
    ['limit=1', 'missing', 'deployment_id', null],
    ['deployment_id=', 'uuid_parsing', 'deployment_id', ''],
    ['deployment_id=x', 'uuid_parsing', 'deployment_id', 'x'],
    [`deployment_id=${UNKNOWN}&limit=1.5`, 'int_parsing', 'limit', '1.5'],
    [`deployment_id=${UNKNOWN}&limit=`, 'int_parsing', 'limit', ''],
    [`deployment_id=${UNKNOWN}&limit=0x1`, 'int_parsing', 'limit', '0x1'],
    [`deployment_id=${UNKNOWN}&limit=1&limit=x`, 'int_parsing', 'limit', 'x'],
    [`deployment_id=${UNKNOWN}&limit=-1`, 'greater_than_equal', 'limit', '-1'],
    [
      `deployment_id=${UNKNOWN}&limit=99999999999999999999`,
      'int_parsing_size',
      'limit',
      '99999999999999999999',
    ],
    [`deployment_id=${UNKNOWN}&start_time_gt=soon`, 'datetime_from_date_parsing', 'start_time_gt', 'soon'],
    [`deployment_id=${UNKNOWN}&start_time_gt=NaN`, 'datetime_from_date_parsing', 'start_time_gt', 'NaN'],
    [
      `deployment_id=${UNKNOWN}&start_time_gt=2026-13-01`,
      'datetime_from_date_parsing',
      'start_time_gt',
      '2026-13-01',
    ],
    [`deployment_id=${UNKNOWN}&start_time_gt=9e99`, 'datetime_from_date_parsing', 'start_time_gt', '9e99'],
  ])('%s', async (query, type, field, input) => {
    const reply = await c.host.get(`/proxy/flow_runs?${query}`);
    expect(reply.status).toBe(422);
    expect(reply.json).toMatchObject({
      detail: [{ type, loc: ['query', field], msg: expect.any(String) as string, input }],
    });
  });
});
