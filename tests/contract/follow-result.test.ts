import { describe, expect, it } from 'vitest';
import { contract } from '../support/contract.js';
import { COMPLETED, FAILED, RUNNING } from '../support/seed.js';

const c = contract();
const UNKNOWN = '00000000-0000-4000-8000-000000000000';
const result = (id: string) => c.host.get(`/proxy/v1/flow_runs/${id}/result`);
const task = { seq: 1, type: 'Shell Operation', slug: 'hello', state_type: 'COMPLETED', result: ['hello'] };

describe('GET /proxy/v1/flow_runs/{id}/result', () => {
  it.each([COMPLETED, FAILED])('has what the tasks came to: $type', async (state) => {
    const id = await c.seed.flowRun({ states: [RUNNING, state] });
    await c.seed.result(id, [task]);
    const reply = await result(id);
    expect(reply.status).toBe(200);
    expect(reply.json).toEqual({
      flow_run_id: id,
      state_type: state.type,
      state_name: state.name,
      created: expect.stringMatching(/Z$/) as string,
      tasks: [task],
    });
  });

  it('has the newest of several, with numbers as they were written', async () => {
    const id = await c.seed.flowRun({ states: [COMPLETED] });
    await c.seed.result(id, [{ result: 1 }]);
    await c.seed.result(id, [{ result: 2.5 }]);
    expect((await result(id)).json).toMatchObject({ tasks: [{ result: 2.5 }] });
  });

  it('409 while the run has not ended, also with a result of an earlier attempt', async () => {
    const id = await c.seed.flowRun({ states: [RUNNING] });
    await c.seed.result(id, [task]);
    const reply = await result(id);
    expect(reply).toMatchObject({
      status: 409,
      json: { code: 'conflict', detail: `flow_run ${id} has not ended: it is Running` },
    });
  });

  it('404 where there is none, or what is there is no result', async () => {
    const id = await c.seed.flowRun({ states: [FAILED] });
    const detail = `flow_run ${id} ended as Failed and has no result (artifact task-results)`;
    expect(await result(id)).toMatchObject({ status: 404, json: { code: 'not_found', detail } });
    const body = { key: 'task-results', type: 'result', data: 'text', flow_run_id: id };
    await c.seed.call('POST', '/artifacts/', body);
    expect(await result(id)).toMatchObject({ status: 404, json: { detail } });
  });

  it.each([UNKNOWN, 'not-a-uuid'])('404 for the unknown run %s', async (id) => {
    expect(await result(id)).toMatchObject({
      status: 404,
      json: { detail: `failed to fetch flow_run ${id}` },
    });
  });
});
