import { beforeAll, describe, expect, it } from 'vitest';
import { contract } from '../support/contract.js';

const c = contract();
const UNKNOWN = '00000000-0000-4000-8000-000000000000';
const FAILED = 'failed to create flow_run for deployment';
const PARAMS = { config: { org_slug: 'acme', tasks: [{ seq: 1, env: { K: 'v' } }] }, dbt_blocks: [1] };
type Json = Record<string, unknown>;
let pool = '';
let deployment = '';

beforeAll(async () => {
  pool = await c.seed.pool();
  deployment = await made('runs');
});

/** A deployment as this service makes it: its flow's parameters are enforced. */
async function made(label: string): Promise<string> {
  const reply = await c.host.post('/proxy/v1/deployments/', {
    flow_name: 'pipeline',
    deployment_name: c.seed.name(label),
    org_slug: c.seed.name('org'),
    deployment_params: PARAMS,
    work_pool_name: pool,
    work_queue_name: 'q1',
  });
  return (reply.json as { deployment: { id: string } }).deployment.id;
}

const start = (body: unknown, id = deployment) => c.host.post(`/proxy/deployments/${id}/flow_run`, body);

async function started(body: unknown): Promise<Json> {
  const reply = await start(body);
  expect([reply.status, reply.text]).toEqual([200, expect.any(String)]);
  const { flow_run_id: id, name } = reply.json as { flow_run_id: string; name: string };
  expect(reply.text).toBe(JSON.stringify({ flow_run_id: id, name }));
  const run = (await c.seed.call('GET', `/flow_runs/${id}`)) as Json;
  expect(run['name']).toBe(name);
  return run;
}

const runsOf = (id: string) =>
  c.seed.call('POST', '/flow_runs/count', { deployments: { id: { any_: [id] } } });

describe('POST /proxy/deployments/{id}/flow_run', () => {
  it('starts a run of the deployment, now', async () => {
    const before = Date.now();
    const run = await started({});
    expect(run).toMatchObject({
      deployment_id: deployment,
      parameters: PARAMS,
      tags: [c.seed.name('org')],
      state_type: 'SCHEDULED',
      state_name: 'Scheduled',
      work_pool_name: pool,
      work_queue_name: 'q1',
      auto_scheduled: false,
      parent_task_run_id: null,
    });
    expect(Math.abs(Date.parse(String(run['expected_start_time'])) - before)).toBeLessThan(30_000);
  });

  it.each([
    ['no body', undefined],
    ['null', null],
    ['an empty object', {}],
  ])('takes %s for the parameters of the deployment', async (_label, body) => {
    expect((await started(body))['parameters']).toEqual(PARAMS);
  });

  it('puts the given parameters over those of the deployment', async () => {
    const run = await started({ config: { only: 'this ü✓' }, airbyte_blocks: [] });
    expect(run['parameters']).toEqual({ config: { only: 'this ü✓' }, dbt_blocks: [1], airbyte_blocks: [] });
  });

  it('makes a run for each request, also at once', async () => {
    const id = await made('at-once');
    const replies = await Promise.all(Array.from({ length: 5 }, () => start({}, id)));
    expect(replies.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    expect(new Set(replies.map(({ text }) => text)).size).toBe(5);
    expect(await runsOf(id)).toBe(5);
  });

  it.each([
    ['list', '[]', 'dict_type'],
    ['text', '"x"', 'dict_type'],
    ['number', '7', 'dict_type'],
    ['broken', '{"a":', 'json_invalid'],
    ['beyond', '{"config":{"n":[18446744073709551616]}}', 'int_parsing_size'],
    ['below', '{"config":{"n":-9223372036854775809}}', 'int_parsing_size'],
  ])('answers 422 to a body that is wrong (%s), and makes nothing', async (label, raw, type) => {
    const id = await made(`wrong-${label}`);
    const reply = await c.host.send('POST', `/proxy/deployments/${id}/flow_run`, { raw });
    expect(reply.status).toBe(422);
    expect(reply.json).toMatchObject({ detail: [{ type }], code: 'validation_failed' });
    expect(await runsOf(id)).toBe(0);
  });

  it('answers 409 to parameters that the flow does not take, and does not repeat them', async () => {
    const id = await made('schema');
    const reply = await start({ config: 'tell-nobody' }, id);
    expect(reply.status).toBe(409);
    expect(reply.json).toMatchObject({ detail: FAILED, code: 'conflict' });
    expect(JSON.stringify(reply.json)).toContain("field 'config'");
    expect(reply.text).not.toContain('tell-nobody');
    expect(JSON.stringify(c.facade.lines)).not.toContain('tell-nobody');
    expect(await runsOf(id)).toBe(0);
  });

  it.each([UNKNOWN, 'x', '..%3F', '%F0%9F%98%80'])('answers 404 for %s', async (id) => {
    for (const path of ['flow_run', 'flow_run/schedule']) {
      const reply = await c.host.post(`/proxy/deployments/${id}/${path}`, { runParams: {} });
      expect(reply.status).toBe(404);
      expect(reply.json).toMatchObject({ detail: FAILED, code: 'not_found' });
    }
  });

  it('takes flow/deployment for another path', async () => {
    const reply = await start({}, 'flow%2Fname');
    expect([reply.status, reply.json]).toMatchObject([404, { detail: 'Not Found' }]);
  });

  it('answers 400 to parameters larger than the orchestrator takes, in few words', async () => {
    const id = await made('large');
    const reply = await start({ config: { text: 'x'.repeat(600 * 1024) } }, id);
    expect(reply.status).toBe(400);
    expect(reply.json).toMatchObject({ detail: FAILED });
    expect(reply.text.length).toBeLessThan(2000);
  });
});
