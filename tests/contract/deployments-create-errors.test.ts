import { beforeAll, describe, expect, it } from 'vitest';
import { contract, lastUpstreamCalls } from '../support/contract.js';

const c = contract();
const URL = '/proxy/v1/deployments/';
type Json = Record<string, unknown>;
let valid: Json = {};

beforeAll(async () => {
  valid = {
    flow_name: 'pipeline',
    deployment_name: c.seed.name('refused'),
    org_slug: c.seed.name('org'),
    deployment_params: { config: {} },
    work_pool_name: await c.seed.pool(),
  };
});

async function created(name: string): Promise<unknown> {
  return c.seed.call('POST', '/deployments/filter', { deployments: { name: { any_: [name] } } });
}

describe('POST /proxy/v1/deployments/, refused', () => {
  it.each([
    [{ flow_name: undefined }, 'missing', ['body', 'flow_name']],
    [{ deployment_name: undefined }, 'missing', ['body', 'deployment_name']],
    [{ org_slug: undefined }, 'missing', ['body', 'org_slug']],
    [{ deployment_params: undefined }, 'missing', ['body', 'deployment_params']],
    [{ deployment_name: 7 }, 'string_type', ['body', 'deployment_name']],
    [{ org_slug: null }, 'string_type', ['body', 'org_slug']],
    [{ cron: 5 }, 'string_type', ['body', 'cron']],
    [{ work_queue_name: [] }, 'string_type', ['body', 'work_queue_name']],
    [{ deployment_params: [1] }, 'dict_type', ['body', 'deployment_params']],
    [{ deployment_params: '{}' }, 'dict_type', ['body', 'deployment_params']],
    [{ deployment_params: null }, 'dict_type', ['body', 'deployment_params']],
  ])('answers 422 to %j', async (fields, type, loc) => {
    const reply = await c.host.post(URL, { ...valid, ...fields });
    expect(reply.status).toBe(422);
    expect(reply.json).toMatchObject({ detail: [{ type, loc }], code: 'validation_failed' });
    expect((reply.json as { detail: unknown[] }).detail).toHaveLength(1);
    expect(lastUpstreamCalls(c.facade)).toBe(0);
  });

  it.each([
    ['nothing', undefined, 'missing'],
    ['null', 'null', 'missing'],
    ['a list', '[]', 'model_attributes_type'],
    ['broken JSON', '{"flow_name":', 'json_invalid'],
  ])('answers 422 to %s', async (_label, raw, type) => {
    const reply = await c.host.send('POST', URL, raw === undefined ? {} : { raw });
    expect(reply.status).toBe(422);
    expect(reply.json).toMatchObject({ detail: [{ type }] });
  });

  it.each(['18446744073709551616', '-9223372036854775809', '123456789012345678901234567890', '1e999'])(
    'answers 422 to the parameter %s, and makes nothing',
    async (number) => {
      const name = c.seed.name('too-big');
      const body = { ...valid, deployment_name: name, deployment_params: { config: { deep: [{ n: 'N' }] } } };
      const reply = await c.host.send('POST', URL, { raw: JSON.stringify(body).replace('"N"', number) });
      expect(reply.status).toBe(422);
      expect(reply.json).toMatchObject({ detail: [{ loc: ['body', 'deployment_params'] }] });
      expect(await created(name)).toEqual([]);
    },
  );

  it.each(['a/b', '', 'a%b', 'a&b', 'a<b', 'a>b'])('answers 400 to the name %j', async (deployment_name) => {
    const reply = await c.host.post(URL, { ...valid, deployment_name });
    expect(reply.status).toBe(400);
    expect(reply.json).toMatchObject({ detail: 'failed to create deployment', code: 'bad_request' });
    expect(reply.json).toHaveProperty('upstream');
  });

  it.each(['nope', '* * * *', '99 * * * *', '0 0 31 2 *x'])('answers 400 to the cron %j', async (cron) => {
    const deployment_name = c.seed.name('bad-cron');
    const reply = await c.host.post(URL, { ...valid, deployment_name, cron });
    expect(reply.status).toBe(400);
    expect(reply.json).toMatchObject({ detail: 'failed to create deployment', code: 'bad_request' });
    expect(JSON.stringify(reply.json)).toContain('cron');
    expect(await created(deployment_name)).toEqual([]);
  });

  it.each(['no-such-pool', 'ü😀'])('answers 404 to the pool %j', async (work_pool_name) => {
    const deployment_name = c.seed.name('bad-pool');
    const reply = await c.host.post(URL, { ...valid, deployment_name, work_pool_name });
    expect(reply.status).toBe(404);
    expect(reply.json).toMatchObject({ detail: 'failed to create deployment', code: 'not_found' });
    expect(await created(deployment_name)).toEqual([]);
  });

  it('answers 400 to parameters that the flow does not take, and does not repeat them', async () => {
    const deployment_name = c.seed.name('bad-params');
    const deployment_params = { config: 'tell-nobody' };
    const reply = await c.host.post(URL, { ...valid, deployment_name, deployment_params });
    expect(reply.status).toBe(400);
    expect(reply.json).toMatchObject({ detail: 'failed to create deployment', code: 'bad_request' });
    expect(reply.text).not.toContain('tell-nobody');
    expect(await created(deployment_name)).toEqual([]);
  });

  it('never logs or repeats parameters', async () => {
    const deployment_params = { config: { key: 'tell-nobody' } };
    await c.host.post(URL, { ...valid, deployment_name: c.seed.name('logged'), deployment_params });
    const refused = await c.host.post(URL, { ...valid, org_slug: 7, deployment_params });
    const missing = await c.host.post(URL, { deployment_params });
    expect(refused.text + missing.text).not.toContain('tell-nobody');
    expect(JSON.stringify(c.facade.lines)).not.toContain('tell-nobody');
  });
});
