import { describe, expect, it } from 'vitest';
import { contract } from '../support/contract.js';
import { COMPLETED, FAILED, RUNNING } from '../support/seed.js';

const c = contract();
const UNKNOWN = '00000000-0000-4000-8000-000000000000';
const wait = (id: string, query = '') => c.host.get(`/proxy/v1/flow_runs/${id}/wait${query}`);

describe('GET /proxy/v1/flow_runs/{id}/wait', () => {
  it('answers when the run ends, with the run as poll has it', async () => {
    const id = await c.seed.flowRun({ states: [RUNNING] });
    let isAnswered = false;
    const reply = wait(id).finally(() => (isAnswered = true));
    await wait(id, '?timeout=0.3');
    expect(isAnswered).toBe(false);
    await c.seed.setState('flow_runs', id, { type: 'FAILED', name: 'Failed', message: 'oh' });
    const { status, headers, json } = await reply;
    expect({ status, ended: headers['x-run-ended'] }).toEqual({ status: 200, ended: 'true' });
    expect(json).toMatchObject({ id, state_type: 'FAILED', state: { message: 'oh' } });
    const polled = await c.host.get(`/proxy/flow_runs/${id}/poll`);
    expect(json).toEqual({
      ...(polled.json as object),
      estimated_start_time_delta: expect.anything() as unknown,
    });
  });

  it('answers at once when it has ended already', async () => {
    const id = await c.seed.flowRun({ states: [COMPLETED] });
    const reply = await wait(id);
    expect(reply.headers['x-run-ended']).toBe('true');
    expect(reply.json).toMatchObject({ id, state_type: 'COMPLETED' });
  });

  it.each(['?timeout=0', '?timeout=0.2', '?timeout=%200.2%20'])(
    'says that it has not ended: %s',
    async (query) => {
      const id = await c.seed.flowRun({ states: [RUNNING] });
      const reply = await wait(id, query);
      expect(reply.status).toBe(200);
      expect(reply.headers['x-run-ended']).toBe('false');
      expect(reply.json).toMatchObject({ id, state_type: 'RUNNING' });
    },
  );

  it('goes on through states that are no end', async () => {
    const id = await c.seed.flowRun();
    const reply = wait(id);
    for (const state of [RUNNING, { type: 'PAUSED', name: 'Paused' }, RUNNING, FAILED])
      await c.seed.setState('flow_runs', id, state);
    expect((await reply).json).toMatchObject({ state_type: 'FAILED' });
  });

  it('tells each who waits, of its own run', async () => {
    const ids = await Promise.all([1, 2, 3].map(() => c.seed.flowRun({ states: [RUNNING] })));
    const replies = [...ids, ...ids].map((id) => wait(id));
    for (const id of ids) await c.seed.setState('flow_runs', id, COMPLETED);
    expect((await Promise.all(replies)).map(({ json }) => (json as { id: string }).id)).toEqual([
      ...ids,
      ...ids,
    ]);
  });

  it('ends with 404 when the run is deleted', async () => {
    const id = await c.seed.flowRun({ states: [RUNNING] });
    const reply = wait(id);
    await wait(id, '?timeout=0.2');
    await c.host.delete(`/proxy/flow_runs/${id}`);
    expect(await reply).toMatchObject({ status: 404, json: { detail: `failed to fetch flow_run ${id}` } });
  });

  it.each([UNKNOWN, 'not-a-uuid'])('404 for the unknown run %s', async (id) => {
    const reply = await wait(id);
    expect(reply).toMatchObject({ status: 404, json: { detail: `failed to fetch flow_run ${id}` } });
  });

  it.each(['', '-1', '60.5', 'soon', 'Infinity'])('422 for timeout=%s', async (timeout) => {
    const reply = await wait(UNKNOWN, `?timeout=${timeout}`);
    expect(reply.status).toBe(422);
    expect(reply.json).toMatchObject({ detail: [{ type: 'number_range', loc: ['query', 'timeout'] }] });
  });
});
