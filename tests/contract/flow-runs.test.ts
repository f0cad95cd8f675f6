import { describe, expect, it } from 'vitest';
import { contract, lastUpstreamCalls } from '../support/contract.js';
import { COMPLETED, FAILED, SCHEDULED } from '../support/seed.js';

const c = contract();
const UNKNOWN = '00000000-0000-4000-8000-000000000000';

describe('GET /proxy/flow_runs/{id}/poll', () => {
  it("passes the orchestrator's flow run on, byte for byte", async () => {
    const id = await c.seed.flowRun({ states: [COMPLETED], parameters: { big: 12345678901, text: 'ü✓' } });
    const direct = await (await fetch(`${c.apiUrl}/flow_runs/${id}`)).text();
    const reply = await c.host.get(`/proxy/flow_runs/${id}/poll`);
    expect(reply.status).toBe(200);
    // Two times in it are counted up to the moment of the reply.
    const still = (text: string) => text.replaceAll(/"estimated_\w+":[^,]+/g, '');
    expect(still(reply.text)).toBe(still(direct));
    expect(lastUpstreamCalls(c.facade)).toBe(1);
  });

  it.each([UNKNOWN, 'not-a-uuid', '..%3F'])('answers 404 with its detail for %s', async (id) => {
    const reply = await c.host.get(`/proxy/flow_runs/${id}/poll`);
    expect(reply.status).toBe(404);
    expect(reply.json).toMatchObject({
      detail: `failed to fetch flow_run ${decodeURIComponent(id)}`,
      code: 'not_found',
    });
  });
});

describe('GET /proxy/flow_runs', () => {
  it('lists 50 terminal runs with their final state names in at most 3 calls', async () => {
    const deploymentId = await c.seed.deployment({ name: c.seed.name('fifty') });
    const ids = await Promise.all(
      Array.from({ length: 50 }, (_, n) =>
        c.seed.flowRun({ deploymentId, states: [n % 2 ? FAILED : COMPLETED] }),
      ),
    );
    await c.seed.taskRun(ids[7]!, 'dbt-test', [{ type: 'COMPLETED', name: 'DBT_TEST_FAILED' }]);
    await c.seed.flowRun({ deploymentId, states: [SCHEDULED] });

    const reply = await c.host.get(`/proxy/flow_runs?deployment_id=${deploymentId}`);
    expect(reply.status).toBe(200);
    const { flow_runs: rows } = reply.json as { flow_runs: Record<string, unknown>[] };
    expect(rows).toHaveLength(50);
    expect(Object.keys(rows[0]!)).toEqual([
      'id',
      'name',
      'tags',
      'startTime',
      'expectedStartTime',
      'totalRunTime',
      'status',
      'state_name',
    ]);
    expect(rows.filter((row) => row['state_name'] === 'DBT_TEST_FAILED').map((row) => row['id'])).toEqual([
      ids[7],
    ]);
    expect(lastUpstreamCalls(c.facade)).toBeLessThanOrEqual(3);
  });
});
