import { describe, expect, it } from 'vitest';
import { contract } from '../support/contract.js';
import { COMPLETED, FAILED, RUNNING, type StateInput } from '../support/seed.js';

const c = contract();
const MINUTE = 60_000;
const LATER = { scheduled_time: '2999-01-01T00:00:00Z' };

interface Run {
  state: { type: string; name: string; message: string; state_details: { scheduled_time: string } };
}

const retry = (id: string, raw: string) => c.host.post(`/proxy/flow_runs/${id}/retry`, undefined, { raw });

describe('POST /proxy/flow_runs/{id}/retry', () => {
  it.each([
    ['5', 5],
    ['0', 0],
    ['"7"', 7],
    ['8.0', 8],
    ['" +9 "', 9],
    ['-3', -3],
    ['600000', 600_000],
  ])('schedules the run %s minutes from now', async (minutes, expected) => {
    const id = await c.seed.flowRun({ states: [FAILED] });
    const before = Date.now();
    const reply = await retry(id, `{"minutes": ${minutes}}`);
    const after = Date.now();
    expect([reply.status, reply.text]).toEqual([200, '{"success":1}']);
    const { state } = (await c.seed.call('GET', `/flow_runs/${id}`)) as Run;
    expect(state).toMatchObject({
      type: 'SCHEDULED',
      name: 'AwaitingRetry',
      message: 'Retry via prefect proxy',
    });
    const scheduled = Date.parse(state.state_details.scheduled_time) - expected * MINUTE;
    expect(scheduled).toBeGreaterThanOrEqual(before - 1_000);
    expect(scheduled).toBeLessThanOrEqual(after + 1_000);
  });

  it.each<[string, StateInput[]]>([
    ['completed', [RUNNING, COMPLETED]],
    ['running', [RUNNING]],
    ['cancelled', [{ type: 'CANCELLED', name: 'Cancelled' }]],
    ['scheduled', [{ type: 'SCHEDULED', name: 'Scheduled', state_details: LATER }]],
  ])('forces it also where the run is %s', async (_, states) => {
    const id = await c.seed.flowRun({ states });
    expect((await retry(id, '{"minutes": 5}')).status).toBe(200);
    const poll = await c.host.get(`/proxy/flow_runs/${id}/poll`);
    expect(poll.json).toMatchObject({ state_type: 'SCHEDULED', state_name: 'AwaitingRetry' });
  });

  it.each([
    ['{"minutes": "1.5"}', 'int_parsing'],
    ['{"minutes": 1.5}', 'int_from_float'],
    ['{"minutes": ""}', 'int_parsing'],
    ['{"minutes": "0x1"}', 'int_parsing'],
    ['{"minutes": null}', 'int_type'],
    ['{"minutes": [1]}', 'int_type'],
    ['{"minutes": 123456789012345678901234567890}', 'int_parsing_size'],
    ['{"minutes": [1.0]}', 'int_type'],
    ['{}', 'missing'],
    ['{"other": 1.0}', 'missing'],
  ])('refuses %s', async (raw, type) => {
    const id = await c.seed.flowRun({ states: [FAILED] });
    const reply = await retry(id, raw);
    expect(reply.status).toBe(422);
    expect(reply.json).toMatchObject({ detail: [{ type, loc: ['body', 'minutes'] }] });
    const { state } = (await c.seed.call('GET', `/flow_runs/${id}`)) as Run;
    expect(state.name).toBe('Failed');
  });

  it.each(['9999999999999', '-9999999999999', '5000000000'])(
    'refuses %s minutes, which no calendar has',
    async (minutes) => {
      const id = await c.seed.flowRun();
      const reply = await retry(id, `{"minutes": ${minutes}}`);
      expect(reply.status).toBe(422);
      expect(reply.json).toMatchObject({ detail: [{ loc: ['body', 'minutes'] }] });
    },
  );

  it.each([
    ['', 'missing', ['body']],
    ['null', 'missing', ['body']],
    ['[5]', 'model_attributes_type', ['body']],
    ['5', 'model_attributes_type', ['body']],
    ['{"minutes": 5', 'json_invalid', ['body', 13]],
  ])('refuses the body %s', async (raw, type, loc) => {
    const id = await c.seed.flowRun();
    const reply = await retry(id, raw);
    expect(reply.status).toBe(422);
    expect(reply.json).toMatchObject({ detail: [{ type, loc }] });
  });
});
