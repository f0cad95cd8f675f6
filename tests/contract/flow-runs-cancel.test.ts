import { describe, expect, it } from 'vitest';
import { contract } from '../support/contract.js';
import { COMPLETED, FAILED, RUNNING, type StateInput } from '../support/seed.js';

const c = contract();
const UNKNOWN = '00000000-0000-4000-8000-000000000000';
const LATER = { scheduled_time: '2999-01-01T00:00:00Z' };
const CANCELLING = { name: 'Cancelling', type: 'CANCELLING' };
const REQUEST = { state: CANCELLING, force: 'True' };

const cancel = (id: string, body: unknown = REQUEST) => c.host.post(`/proxy/flow_runs/${id}/set_state`, body);
const read = async (id: string) => (await c.seed.call('GET', `/flow_runs/${id}`)) as Record<string, unknown>;

describe('POST /proxy/flow_runs/{id}/set_state', () => {
  it.each<[string, StateInput]>([
    ['scheduled', { type: 'SCHEDULED', name: 'Scheduled', state_details: LATER }],
    ['late', { type: 'SCHEDULED', name: 'Late', state_details: { scheduled_time: '2026-03-01T00:00:00Z' } }],
    ['awaiting its retry', { type: 'SCHEDULED', name: 'AwaitingRetry', state_details: LATER }],
  ])('cancels a run that is %s, at once', async (_, state) => {
    const id = await c.seed.flowRun({ state });
    const reply = await cancel(id);
    expect([reply.status, reply.text]).toEqual([200, '{"success":1}']);
    expect(await read(id)).toMatchObject({
      state_type: 'CANCELLED',
      state_name: 'Cancelled',
      state: { message: null },
    });
  });

  /** A run whose process failed, as a worker leaves it. */
  const failed = async () => {
    const id = await c.seed.flowRun({ deploymentId: await c.seed.deployment(), states: [RUNNING] });
    await c.seed.call('PATCH', `/flow_runs/${id}`, { infrastructure_pid: 'a-host:4711' });
    await c.seed.setState('flow_runs', id, FAILED);
    return id;
  };

  it('cancels a run that waits for its retry at once, although it had a process before', async () => {
    const id = await failed();
    expect((await c.host.post(`/proxy/flow_runs/${id}/retry`, { minutes: 10 })).status).toBe(200);
    expect(await read(id)).toMatchObject({ state_name: 'AwaitingRetry', infrastructure_pid: 'a-host:4711' });
    expect((await cancel(id)).text).toBe('{"success":1}');
    expect(await read(id)).toMatchObject({ state_type: 'CANCELLED', state_name: 'Cancelled' });
  });

  it('cancels a run at once that is late with its retry', async () => {
    const id = await failed();
    const due = { scheduled_time: '2026-03-01T00:00:00Z' };
    await c.seed.setState('flow_runs', id, { type: 'SCHEDULED', name: 'Late', state_details: due });
    expect((await cancel(id)).text).toBe('{"success":1}');
    expect(await read(id)).toMatchObject({ state_type: 'CANCELLED' });
  });

  it("asks for the end of a run that Prefect's own retry holds: its process waits for the next attempt", async () => {
    const flow = { flow_id: await c.seed.flow(), empirical_policy: { retries: 1, retry_delay: 600 } };
    const { id } = (await c.seed.call('POST', '/flow_runs/', { ...flow, state: RUNNING })) as { id: string };
    await c.seed.call('PATCH', `/flow_runs/${id}`, { infrastructure_pid: 'a-host:4711' });
    await c.seed.call('POST', `/flow_runs/${id}/set_state`, { state: FAILED });
    expect(await read(id)).toMatchObject({
      state_name: 'AwaitingRetry',
      empirical_policy: { retry_type: 'in_process' },
    });
    expect((await cancel(id)).text).toBe('{"success":1}');
    expect(await read(id)).toMatchObject({ state_type: 'CANCELLING', infrastructure_pid: 'a-host:4711' });
  });

  it('asks for the end of a run that is pending, which may have a process already', async () => {
    const id = await c.seed.flowRun({ state: { type: 'PENDING', name: 'Pending' } });
    expect((await cancel(id)).text).toBe('{"success":1}');
    expect(await read(id)).toMatchObject({ state_type: 'CANCELLING', state_name: 'Cancelling' });
  });

  it.each<[string, StateInput]>([
    ['running', RUNNING],
    ['completed', COMPLETED],
    ['failed', FAILED],
    ['cancelled', { type: 'CANCELLED', name: 'Cancelled' }],
    ['crashed', { type: 'CRASHED', name: 'Crashed' }],
    ['being cancelled', CANCELLING],
    ['paused', { type: 'PAUSED', name: 'Paused' }],
  ])('leaves a run that is %s', async (_, state) => {
    const id = await c.seed.flowRun({ state });
    const before = await read(id);
    const reply = await cancel(id);
    expect(reply.status).toBe(400);
    expect(reply.json).toMatchObject({ detail: 'failed to cancel the queued manual job' });
    expect((await read(id))['state_id']).toBe(before['state_id']);
  });

  it('cancels once', async () => {
    const id = await c.seed.flowRun({ state: { type: 'SCHEDULED', state_details: LATER } });
    expect((await cancel(id)).status).toBe(200);
    expect((await cancel(id)).status).toBe(400);
  });

  it.each([UNKNOWN, 'not-a-uuid'])('answers 404 for %s', async (id) => {
    const reply = await cancel(id);
    expect(reply.status).toBe(404);
    expect(reply.json).toMatchObject({ detail: 'failed to cancel the queued manual job' });
  });

  it.each<[string, unknown, string, string[]]>([
    ['force that is a boolean', { state: CANCELLING, force: true }, 'string_type', ['body', 'force']],
    ['no force', { state: CANCELLING }, 'missing', ['body', 'force']],
    ['force that is null', { state: CANCELLING, force: null }, 'string_type', ['body', 'force']],
    [
      'another type',
      { state: { name: 'Cancelled', type: 'CANCELLED' }, force: 'True' },
      'literal_error',
      ['body', 'state', 'type'],
    ],
    [
      'a type in small letters',
      { state: { name: 'x', type: 'cancelling' }, force: 'True' },
      'literal_error',
      ['body', 'state', 'type'],
    ],
    [
      'a type that is a number',
      { state: { name: 'x', type: 1 }, force: 'True' },
      'literal_error',
      ['body', 'state', 'type'],
    ],
    ['no type', { state: { name: 'x' }, force: 'True' }, 'missing', ['body', 'state', 'type']],
    ['no name', { state: { type: 'CANCELLING' }, force: 'True' }, 'missing', ['body', 'state', 'name']],
    [
      'a name that is a number',
      { state: { type: 'CANCELLING', name: 1 }, force: 'True' },
      'string_type',
      ['body', 'state', 'name'],
    ],
    ['no state', { force: 'True' }, 'missing', ['body', 'state']],
    ['no body', undefined, 'missing', ['body']],
  ])('refuses %s', async (_, body, type, loc) => {
    const id = await c.seed.flowRun({ state: { type: 'SCHEDULED', state_details: LATER } });
    const reply = await cancel(id, body === undefined ? null : body);
    expect(reply.status).toBe(422);
    expect((reply.json as { detail: unknown[] }).detail).toEqual([expect.objectContaining({ type, loc })]);
    expect(await read(id)).toMatchObject({ state_type: 'SCHEDULED' });
  });
});
