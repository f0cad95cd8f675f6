import { beforeAll, describe, expect, it } from 'vitest';
import { parseJson } from '../../src/json.js';
import { contract } from '../support/contract.js';

const c = contract();
const NUMBERS =
  '{"one":1.0,"exp":1e5,"zero":0,"nested":[{"x":2.50,"y":-3.0}],"long":1234567890123456789,"max":18446744073709551615,"min":-9223372036854775808}';
let pool = '';

beforeAll(async () => {
  pool = await c.seed.pool();
});

/** As the orchestrator may write them: Python knows one form of each number, PostgreSQL sorts the keys. */
const python = (text: string) => parseJson(text.replaceAll('1e5', '100000.0').replaceAll('2.50', '2.5'));

/** A JSON text whose "config" is exactly the numbers. */
const raw = (value: unknown) => JSON.stringify(value).replace('"NUMBERS"', NUMBERS);

async function create(label: string): Promise<{ id: string; text: string }> {
  const body = {
    flow_name: 'pipeline',
    deployment_name: c.seed.name(label),
    org_slug: c.seed.name('numbers'),
    deployment_params: { config: 'NUMBERS' },
    work_pool_name: pool,
  };
  const reply = await c.host.send('POST', '/proxy/v1/deployments/', { raw: raw(body) });
  expect(reply.status).toBe(200);
  return { id: (reply.json as { deployment: { id: string } }).deployment.id, text: reply.text };
}

describe('numbers in parameters', () => {
  it('come back from a creation as they were sent', async () => {
    expect((await create('created')).text).toContain(`"params":{"config":${NUMBERS}}`);
  });

  it('come back from the deployment and from the list', async () => {
    const { id } = await create('read');
    const parameters = { config: python(NUMBERS) };
    const read = await c.host.get(`/proxy/deployments/${id}`);
    expect(python(read.text)).toMatchObject({ parameters });
    const body = { org_slug: c.seed.name('numbers'), deployment_ids: [id] };
    const list = await c.host.post('/proxy/deployments/filter', body);
    expect(python(list.text)).toMatchObject({ deployments: [{ parameters }] });
  });

  it('come through an update', async () => {
    const { id } = await create('updated');
    const body = raw({ deployment_params: { config: { again: 'NUMBERS' } } });
    expect((await c.host.send('PUT', `/proxy/v1/deployments/${id}`, { raw: body })).status).toBe(200);
    const read = await c.host.get(`/proxy/deployments/${id}`);
    expect(python(read.text)).toMatchObject({ parameters: { config: { again: python(NUMBERS) } } });
  });

  it.each([
    ['flow_run', { config: 'NUMBERS' }],
    ['flow_run/schedule', { runParams: { config: 'NUMBERS' }, scheduledTime: '2040-01-01T00:00:00Z' }],
  ])('come through %s into the run, and the list of planned runs', async (path, body) => {
    const { id } = await create(path.replace('/', '-'));
    const reply = await c.host.send('POST', `/proxy/deployments/${id}/${path}`, { raw: raw(body) });
    expect(reply.status).toBe(200);
    const { flow_run_id: runId } = reply.json as { flow_run_id: string };
    const parameters = { config: python(NUMBERS) };
    const run = await c.host.get(`/proxy/flow_runs/${runId}/poll`);
    expect(python(run.text)).toMatchObject({ parameters });
    const list = await c.host.get(`/proxy/v1/deployments/get_scheduled_flow_runs?deployment_id=${id}`);
    expect(python(list.text)).toMatchObject({ flow_runs: [{ parameters }] });
  });

  it.each([
    '{"deployment_name":1.0}',
    '{"unknown":[12345678901234567890]}',
    '{"deployment_params":{"config":1e5}}',
    '1.0',
    '12345678901234567890',
  ])('do not turn a refusal into a crash (%s)', async (body) => {
    const reply = await c.host.send('POST', '/proxy/v1/deployments/', { raw: body });
    expect(reply.status).toBe(422);
    expect(reply.json).toMatchObject({ code: 'validation_failed' });
  });
});
