import { describe, expect, it } from 'vitest';
import { contract, lastUpstreamCalls } from '../support/contract.js';
import { COMPLETED, RUNNING } from '../support/seed.js';

const c = contract();
const UNKNOWN = '00000000-0000-4000-8000-000000000000';
const poll = (ids: unknown) => c.host.post('/proxy/v1/flow_runs/poll', { ids });

describe('POST /proxy/v1/flow_runs/poll', () => {
  it('answers in the order of the ids, and says what is missing', async () => {
    const [over, running] = [
      await c.seed.flowRun({ states: [RUNNING, COMPLETED] }),
      await c.seed.flowRun({ states: [RUNNING] }),
    ];
    const reply = await poll([running, UNKNOWN, over, running.toUpperCase()]);
    expect(reply.status).toBe(200);
    const time = expect.stringMatching(/^\d{4}-.*Z$/) as string;
    expect(reply.json).toEqual({
      flow_runs: [
        {
          id: running,
          name: c.seed.name('run'),
          deployment_id: null,
          state_type: 'RUNNING',
          state_name: 'Running',
          expected_start_time: time,
          start_time: time,
          end_time: null,
          total_run_time: 0,
          ended: false,
        },
        expect.objectContaining({ id: over, state_type: 'COMPLETED', end_time: time, ended: true }),
      ],
      missing: [UNKNOWN],
    });
    expect(lastUpstreamCalls(c.facade)).toBe(1);
  });

  it('takes a thousand, in five calls', async () => {
    const id = await c.seed.flowRun();
    const others = Array.from({ length: 999 }, (_, n) =>
      UNKNOWN.replace(/.{4}$/, String(n).padStart(4, '0')),
    );
    const reply = await poll([...others, id]);
    expect(reply.json).toMatchObject({ flow_runs: [{ id }], missing: others });
    expect(lastUpstreamCalls(c.facade)).toBe(5);
  });

  it.each<[string, unknown, string]>([
    ['none', [], 'list_length'],
    ['too many', Array.from({ length: 1001 }, () => UNKNOWN), 'list_length'],
    ['no list', UNKNOWN, 'list_type'],
    ['no ids', ['x'], 'uuid_parsing'],
  ])('422 for %s', async (_what, ids, type) => {
    const reply = await poll(ids);
    expect(reply.status).toBe(422);
    expect((reply.json as { detail: { type: string; loc: unknown[] }[] }).detail[0]).toMatchObject({ type });
  });
});
