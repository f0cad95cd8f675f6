import { afterEach, describe, expect, it } from 'vitest';
import { contract } from '../support/contract.js';
import { EventReader } from '../support/event-reader.js';
import { COMPLETED, RUNNING } from '../support/seed.js';

const c = contract();
const UNKNOWN = '00000000-0000-4000-8000-000000000000';
const BAD_MONTH = `s_a_${UNKNOWN}_2026-99-01T00:00:00Z_2026-01-01T00:00:00Z`;
const readers: EventReader[] = [];
afterEach(() => {
  for (const reader of readers.splice(0)) reader.hangUp();
});

function read(id: string, lastEventId?: string): EventReader {
  const reader = new EventReader(`${c.facade.url}/proxy/v1/flow_runs/${id}/events`, lastEventId);
  readers.push(reader);
  return reader;
}

const says = (message: string) => (event: { data: unknown }) =>
  (event.data as { message?: string }).message === message;
const typed = (type: string) => (event: { data: unknown }) => (event.data as { type?: string }).type === type;
const types = (reader: EventReader) =>
  reader.named('state').map(({ data }) => (data as { type: string }).type);

describe('GET /proxy/v1/flow_runs/{id}/events', () => {
  it('tells states and logs as they come, and the end after the last logs', async () => {
    const id = await c.seed.flowRun({ states: [RUNNING] });
    await c.seed.logs([{ flowRunId: id, message: 'before' }]);
    const reader = read(id);
    expect(await reader.status).toBe(200);
    await reader.until(says('before'));
    expect(types(reader)).toEqual(['PENDING', 'RUNNING']);
    const task = await c.seed.taskRun(id, 'step');
    await c.seed.logs([{ flowRunId: id, taskRunId: task, message: 'within', at: 10, level: 40 }]);
    expect((await reader.until(says('within'))).data).toEqual({
      id: expect.any(String) as string,
      level: 40,
      timestamp: '2026-01-01T00:00:00.010000Z',
      name: 'seed',
      message: 'within',
      flow_run_id: id,
      task_run_id: task,
    });
    await c.seed.setState('flow_runs', id, { ...COMPLETED, message: 'done' });
    await reader.until(typed('COMPLETED'));
    await c.seed.logs([{ flowRunId: id, message: 'after', at: 20 }]);
    await reader.ended;
    expect(reader.messages()).toEqual(['before', 'within', 'after']);
    expect(types(reader)).toEqual(['PENDING', 'RUNNING', 'COMPLETED']);
    const end = reader.events.at(-1);
    expect(end).toMatchObject({
      event: 'end',
      data: { type: 'COMPLETED', name: 'Completed', message: 'done' },
    });
    // Who comes again after the end is told to stay away.
    const again = read(id, end?.id);
    expect(await again.status).toBe(204);
  });

  it('tells the logs of subflows, also of those that begin later', async () => {
    const id = await c.seed.flowRun({ states: [RUNNING] });
    const early = await c.seed.subflow(id, { name: 'early' });
    await c.seed.logs([{ flowRunId: early.id, message: 'early', at: 5_000 }]);
    const reader = read(id);
    await reader.until(says('early'));
    const late = await c.seed.subflow(early.id, { name: 'late' });
    // Before all that was told so far.
    await c.seed.logs([{ flowRunId: late.id, message: 'late' }]);
    await c.seed.setState('flow_runs', id, COMPLETED);
    await reader.ended;
    expect(reader.messages()).toEqual(['early', 'late']);
  });

  it('goes on after the event that was read last, and tells nothing twice', async () => {
    const id = await c.seed.flowRun({ states: [RUNNING] });
    await c.seed.logs(['a', 'b', 'c'].map((message, at) => ({ flowRunId: id, message, at })));
    const first = read(id);
    const b = await first.until(says('b'));
    await first.settled();
    first.hangUp();
    // It comes in later, and is older.
    await c.seed.logs([{ flowRunId: id, message: 'late', at: 0 }]);
    const [fromB, fromC] = [read(id, b.id), read(id, first.lastId)];
    await Promise.all([fromB.until(says('c')), fromC.until(says('late'))]);
    await c.seed.setState('flow_runs', id, COMPLETED);
    await Promise.all([fromB.ended, fromC.ended]);
    expect(fromB.messages()).toEqual(['c']);
    expect(fromC.messages()).toEqual(['late']);
    expect([types(fromB), types(fromC)]).toEqual([['COMPLETED'], ['COMPLETED']]);
  });

  it('tells all of a run that is over, beyond a page', async () => {
    const id = await c.seed.flowRun({ states: [COMPLETED] });
    const lines = Array.from({ length: 450 }, (_, n) => `line ${n}`);
    await c.seed.logs(lines.map((message, at) => ({ flowRunId: id, message, at })));
    const reader = read(id);
    await reader.ended;
    expect(reader.messages()).toEqual(lines);
    expect(reader.events.at(-1)?.event).toBe('end');
  });

  it('says that the run was deleted', async () => {
    const id = await c.seed.flowRun({ states: [RUNNING] });
    const reader = read(id);
    await reader.until(typed('RUNNING'));
    await c.host.delete(`/proxy/flow_runs/${id}`);
    await reader.ended;
    expect(reader.events.at(-1)).toMatchObject({ event: 'deleted', data: null });
  });

  it.each([UNKNOWN, 'not-a-uuid'])('404 for the unknown run %s', async (id) => {
    const reply = await c.host.get(`/proxy/v1/flow_runs/${id}/events`);
    expect(reply).toMatchObject({ status: 404, json: { detail: `failed to fetch flow_run ${id}` } });
  });

  it.each(['x', 's', `s${UNKNOWN}_2026`, BAD_MONTH, UNKNOWN])('Last-Event-ID %s', async (lastEventId) => {
    const headers = { 'last-event-id': lastEventId };
    const reply = await c.host.get(`/proxy/v1/flow_runs/${UNKNOWN}/events`, { headers });
    // `s` is what an event before the first state would carry.
    expect(reply.status).toBe(lastEventId === 's' ? 404 : 422);
  });
});
