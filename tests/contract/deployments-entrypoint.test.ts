import { describe, expect, it } from 'vitest';
import { contract } from '../support/contract.js';

const c = contract();
const UNKNOWN = '00000000-0000-4000-8000-000000000000';

const stored = async (id: string) =>
  (await c.seed.call('GET', `/deployments/${id}`)) as Record<string, unknown>;

describe('PATCH /proxy/v1/deployments/{id}/entrypoint', () => {
  const patch = (id: string, body: unknown) => c.host.patch(`/proxy/v1/deployments/${id}/entrypoint`, body);

  it.each(['proxy/other.py:flow_v6', 'ü ✓.py:f', ' '])('sets the entrypoint %j alone', async (entrypoint) => {
    const id = await c.seed.deployment({
      name: c.seed.name('entrypoint'),
      entrypoint: 'before.py:f',
      schedules: [{ schedule: { cron: '0 5 * * *' }, active: true }],
    });
    const before = await stored(id);
    const reply = await patch(id, { entrypoint, more: 1 });
    expect([reply.status, reply.text]).toEqual([200, '{"success":1}']);
    const after = await stored(id);
    expect(after).toEqual({ ...before, entrypoint, updated: after['updated'] });
  });

  it.each([{}, { entrypoint: null }, { entrypoint: '' }, { entrypoint: 7 }, { entrypoint: ['x'] }])(
    'answers 400 to %j',
    async (body) => {
      const reply = await patch(UNKNOWN, body);
      expect(reply.status).toBe(400);
      expect(reply.json).toMatchObject({ detail: 'entrypoint (string) is required', code: 'bad_request' });
    },
  );

  it.each([
    [['x'], 'dict_type'],
    ['x', 'dict_type'],
    [undefined, 'missing'],
    [null, 'missing'],
  ])('answers 422 to %j', async (body, type) => {
    const reply = await patch(UNKNOWN, body);
    expect(reply.status).toBe(422);
    expect(reply.json).toMatchObject({ detail: [{ type, loc: ['body'] }] });
  });

  it.each([UNKNOWN, 'x', '..%3F'])('answers 404 for %s', async (id) => {
    const reply = await patch(id, { entrypoint: 'a.py:f' });
    expect(reply.status).toBe(404);
    expect(reply.json).toMatchObject({ detail: 'failed to update deployment entrypoint', code: 'not_found' });
  });
});
