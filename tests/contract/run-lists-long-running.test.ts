import { beforeAll, describe, expect, it } from 'vitest';
import { contract } from '../support/contract.js';
import { COMPLETED, RUNNING, isoTime, micros } from '../support/seed.js';

const c = contract();
const HOUR = 3_600_000_000;
const SECOND = 1_000_000;

async function longRunning(path: string): Promise<{ id: string }[]> {
  const reply = await c.host.get(`/proxy/flow_runs/long-running/${path}`);
  expect(reply.status, reply.text).toBe(200);
  return (reply.json as { flow_runs: { id: string }[] }).flow_runs;
}

describe('GET /proxy/flow_runs/long-running/{nhours}', () => {
  let running: string;
  let finished: string;
  let start: number;

  beforeAll(async () => {
    running = await c.seed.flowRun({ states: [RUNNING], parameters: { slug: 'acme' } });
    finished = await c.seed.flowRun({ states: [RUNNING, COMPLETED] });
    const run = (await c.seed.call('GET', `/flow_runs/${running}`)) as { start_time: string };
    start = micros(run.start_time);
  });

  const isListed = async (path: string) => (await longRunning(path)).some((run) => run.id === running);
  const since = (offset: number) => isoTime(start + offset);

  it('lists whole flow runs, as the orchestrator has them', async () => {
    const rows = await longRunning(`2?start_time_str=${since(3 * HOUR)}`);
    const direct = (await c.seed.call('GET', `/flow_runs/${running}`)) as object;
    const still = { estimated_run_time: 0, estimated_start_time_delta: 0 };
    const row = rows.find(({ id }) => id === running);
    expect({ ...row, ...still }).toEqual({ ...direct, ...still });
    expect(Object.keys(row ?? {})).toEqual(Object.keys(direct));
    expect(rows.some(({ id }) => id === finished)).toBe(false);
  });

  it.each([
    ['a second more than the hours', 2 * HOUR + SECOND, true],
    ['a second less than the hours', 2 * HOUR - SECOND, false],
    ['a millisecond more than the hours', 2 * HOUR + 1_000, true],
    ['a millisecond less than the hours', 2 * HOUR - 1_000, false],
  ])('judges a run that has been running for %s', async (_, age, listed) => {
    expect(await isListed(`2?start_time_str=${since(age)}`)).toBe(listed);
  });

  it.each(['2', '+2', '%2B2', '%202%20', '2.0', '02'])('takes %s as 2 hours', async (hours) => {
    expect(await isListed(`${hours}?start_time_str=${since(2 * HOUR + 2 * SECOND)}`)).toBe(true);
    expect(await isListed(`${hours}?start_time_str=${since(2 * HOUR - 2 * SECOND)}`)).toBe(false);
  });

  it.each<[string, (time: number) => string]>([
    ['no zone', (time) => isoTime(time).replace('Z', '')],
    ['another zone', (time) => `${isoTime(time - 3 * HOUR).replace('Z', '')}-03:00`],
    ['a zone whose + became a blank', (time) => `${isoTime(time + HOUR).replace('Z', '')}+01:00`],
    ['a blank instead of T', (time) => isoTime(time).replace('T', '%20')],
    ['seconds', (time) => String(Math.floor(time / 1e6))],
    ['milliseconds', (time) => String(Math.floor(time / 1e3))],
  ])('takes a time with %s', async (_, written) => {
    expect(await isListed(`2?start_time_str=${written(start + 2 * HOUR + 2 * SECOND)}`)).toBe(true);
    expect(await isListed(`2?start_time_str=${written(start + 2 * HOUR - 2 * SECOND)}`)).toBe(false);
  });

  it('counts negative hours forward', async () => {
    expect(await isListed(`-3?start_time_str=${since(-2 * HOUR)}`)).toBe(true);
    expect(await isListed(`-1?start_time_str=${since(-2 * HOUR)}`)).toBe(false);
  });

  it.each(['', '?start_time_str='])('counts from now without a time (%s)', async (query) => {
    expect(await isListed(`-1${query}`)).toBe(true);
    expect(await isListed(`1${query}`)).toBe(false);
  });

  it('takes the last of two times', async () => {
    expect(await isListed(`2?start_time_str=soon&start_time_str=${since(3 * HOUR)}`)).toBe(true);
  });
});

describe('GET /proxy/flow_runs/long-running/{nhours} refuses', () => {
  it.each([
    ['%20', 'int_parsing', ['path', 'nhours'], ' '],
    ['x', 'int_parsing', ['path', 'nhours'], 'x'],
    ['1.5', 'int_parsing', ['path', 'nhours'], '1.5'],
    ['0x1', 'int_parsing', ['path', 'nhours'], '0x1'],
    ['99999999999999999999', 'int_parsing_size', ['path', 'nhours'], '99999999999999999999'],
    ['2?start_time_str=soon', 'datetime_from_date_parsing', ['query', 'start_time_str'], 'soon'],
    ['2?start_time_str=2026-02-30', 'datetime_from_date_parsing', ['query', 'start_time_str'], '2026-02-30'],
  ])('%s', async (path, type, loc, input) => {
    const reply = await c.host.get(`/proxy/flow_runs/long-running/${path}`);
    expect(reply.status).toBe(422);
    expect(reply.json).toMatchObject({ detail: [{ type, loc, input }] });
  });

  it.each(['99999999999', '-99999999999', '20000000'])('%s hours, which no calendar has', async (hours) => {
    const reply = await c.host.get(`/proxy/flow_runs/long-running/${hours}`);
    expect(reply.status).toBe(422);
    expect(reply.json).toMatchObject({ detail: [{ loc: ['path', 'nhours'] }] });
  });
});
