import { beforeAll, describe, expect, it } from 'vitest';
import { contract } from '../support/contract.js';

const c = contract();
const UNKNOWN = '00000000-0000-4000-8000-000000000000';
const TIMES = ['2026-03-03T00:00:00.000003Z', '2026-03-02T00:00:00.000002Z', '2026-03-01T00:00:00.000001Z'];

interface Row {
  id: string;
  expectedStartTime: string;
}

async function late(body: object): Promise<Row[]> {
  const reply = await c.host.post('/proxy/flow_runs/late', body);
  expect(reply.status, reply.text).toBe(200);
  return (reply.json as { flow_runs: Row[] }).flow_runs;
}

describe('POST /proxy/flow_runs/late', () => {
  let deployment: string;
  let other: string;
  let pool: string;
  /** As in TIMES. */
  let ids: string[];
  let elsewhere: string;

  beforeAll(async () => {
    pool = await c.seed.pool();
    const place = (queue: string) => ({ work_pool_name: pool, work_queue_name: c.seed.name(queue) });
    deployment = await c.seed.deployment({ name: c.seed.name('late'), ...place('q1') });
    other = await c.seed.deployment({ name: c.seed.name('other'), ...place('q2') });
    ids = [];
    for (const time of TIMES) ids.push(await c.seed.lateRun(deployment, time));
    elsewhere = await c.seed.lateRun(other, '2026-03-04T00:00:00Z');
    await c.seed.flowRun({
      deploymentId: deployment,
      state: {
        type: 'SCHEDULED',
        name: 'Scheduled',
        state_details: { scheduled_time: '2999-01-01T00:00:00Z' },
      },
    });
    await c.seed.flowRun({ deploymentId: deployment, state: { type: 'RUNNING', name: 'Running' } });
  });

  it('lists late runs with their fields in order', async () => {
    const [row] = await late({ deployment_id: deployment, exclude_flow_run_ids: ids.slice(1) });
    const run = (await c.seed.call('GET', `/flow_runs/${ids[0] ?? ''}`)) as Record<string, unknown>;
    const still = (value: unknown) => JSON.stringify(value).replace(/"estimatedRunTime":[\d.]+/, '');
    expect(still(row)).toBe(
      still({
        id: ids[0],
        name: run['name'],
        tags: [],
        startTime: null,
        expectedStartTime: TIMES[0],
        totalRunTime: 0,
        estimatedRunTime: 0,
        workQueueName: c.seed.name('q1'),
        workPoolName: pool,
        deployment_id: deployment,
      }),
    );
  });

  it.each<[string, () => object, number[]]>([
    ['all of a deployment', () => ({ deployment_id: deployment, limit: 0 }), [0, 1, 2]],
    ['no more than the limit', () => ({ deployment_id: deployment, limit: 2 }), [0, 1]],
    ['a limit as text', () => ({ deployment_id: deployment, limit: '2' }), [0, 1]],
    ['one where there is no limit', () => ({ deployment_id: deployment }), [0]],
    [
      'a pool and its queue',
      () => ({ work_pool_name: pool, work_queue_name: c.seed.name('q1'), limit: 9 }),
      [0, 1, 2],
    ],
    ['a queue', () => ({ work_queue_name: c.seed.name('q1'), limit: 9 }), [0, 1, 2]],
    [
      'null for what is not asked',
      () => ({ deployment_id: deployment, work_pool_name: null, work_queue_name: null, limit: 9 }),
      [0, 1, 2],
    ],
    ['an unknown queue', () => ({ deployment_id: deployment, work_queue_name: 'none', limit: 9 }), []],
    ['an unknown pool', () => ({ deployment_id: deployment, work_pool_name: 'none', limit: 9 }), []],
    [
      'before a time',
      () => ({ deployment_id: deployment, limit: 9, before_start_time: '2026-03-02T12:00:00' }),
      [1, 2],
    ],
    [
      'after a time',
      () => ({ deployment_id: deployment, limit: 9, after_start_time: '2026-03-02 12:00:00+05:30' }),
      [0],
    ],
    [
      'after a time, itself',
      () => ({ deployment_id: deployment, limit: 9, after_start_time: TIMES[1] }),
      [0, 1],
    ],
    [
      'after epoch seconds',
      () => ({ deployment_id: deployment, limit: 9, after_start_time: 1772409600 }),
      [0, 1],
    ],
    [
      'between times',
      () => ({
        deployment_id: deployment,
        limit: 9,
        after_start_time: '2026-03-01T12:00:00Z',
        before_start_time: '2026-03-02T12:00:00Z',
      }),
      [1],
    ],
    [
      'without some runs',
      () => ({ deployment_id: deployment, limit: 9, exclude_flow_run_ids: [ids[0], ids[2]] }),
      [1],
    ],
    [
      'without an unknown run',
      () => ({ deployment_id: deployment, limit: 9, exclude_flow_run_ids: [UNKNOWN] }),
      [0, 1, 2],
    ],
    ['an unknown deployment', () => ({ deployment_id: UNKNOWN, limit: 9 }), []],
  ])('finds by %s', async (_, body, expected) => {
    const rows = await late(body());
    expect(rows.map((row) => ids.indexOf(row.id))).toEqual(expected);
  });

  it('finds those of all deployments of a pool', async () => {
    const rows = await late({ work_pool_name: pool, limit: 9 });
    expect(rows.map((row) => row.id)).toEqual([elsewhere, ...ids]);
  });

  it('answers an empty object with one run, of whatever deployment', async () => {
    const rows = await late({});
    expect(rows).toHaveLength(1);
  });
});

describe('POST /proxy/flow_runs/late refuses', () => {
  it.each<[string, unknown, string, (string | number)[]]>([
    ['a number as deployment', { deployment_id: 7 }, 'string_type', ['body', 'deployment_id']],
    ['a name as deployment', { deployment_id: 'x' }, 'uuid_parsing', ['body', 'deployment_id']],
    ['a number as queue', { work_queue_name: 7 }, 'string_type', ['body', 'work_queue_name']],
    ['half a limit', { limit: '1.5' }, 'int_parsing', ['body', 'limit']],
    ['no limit', { limit: null }, 'int_type', ['body', 'limit']],
    [
      'words as time',
      { before_start_time: 'soon' },
      'datetime_from_date_parsing',
      ['body', 'before_start_time'],
    ],
    ['a list as time', { after_start_time: [] }, 'datetime_type', ['body', 'after_start_time']],
    ['text as ids', { exclude_flow_run_ids: 'x' }, 'list_type', ['body', 'exclude_flow_run_ids']],
    [
      'a name among ids',
      { exclude_flow_run_ids: [UNKNOWN, 'x'] },
      'uuid_parsing',
      ['body', 'exclude_flow_run_ids', 1],
    ],
    ['a list', [], 'model_attributes_type', ['body']],
    ['no body', undefined, 'missing', ['body']],
    ['null', null, 'missing', ['body']],
  ])('%s', async (_, body, type, loc) => {
    const reply = await c.host.post('/proxy/flow_runs/late', body);
    expect(reply.status).toBe(422);
    expect(reply.json).toMatchObject({ detail: [{ type, loc }] });
  });
});
