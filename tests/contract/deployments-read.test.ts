import { describe, expect, it } from 'vitest';
import { contract, lastUpstreamCalls } from '../support/contract.js';

const c = contract();
const UNKNOWN = '00000000-0000-4000-8000-000000000000';
const cron = (text: string, active = true) => ({ schedule: { cron: text }, active });

describe('GET /proxy/deployments/{id}', () => {
  it('gives the deployment as hosts know it, in one call', async () => {
    const name = c.seed.name('read ü');
    const parameters = { config: { a: 1, z: [null, 'ü✓', {}] } };
    const id = await c.seed.deployment({
      name,
      tags: ['org', 'more'],
      parameters,
      entrypoint: 'proxy/flows.py:f',
      schedules: [cron('0 1 * * *')],
    });
    const body = {
      name,
      deploymentId: id,
      tags: ['org', 'more'],
      cron: '0 1 * * *',
      isScheduleActive: true,
      parameters,
      entrypoint: 'proxy/flows.py:f',
    };
    for (const path of [id, `${id}/`, id.toUpperCase()]) {
      const reply = await c.host.get(`/proxy/deployments/${path}`);
      expect([reply.status, reply.text]).toEqual([200, JSON.stringify(body)]);
      expect(lastUpstreamCalls(c.facade)).toBe(1);
    }
  });

  it.each([
    ['none', [], '', false],
    ['inactive', [cron('0 1 * * *', false)], '0 1 * * *', false],
    ['interval', [{ schedule: { interval: 60 }, active: true }], '', true],
    ['rrule', [{ schedule: { rrule: 'FREQ=DAILY' }, active: false }], '', false],
  ])('tells its schedule (%s)', async (label, schedules, text, isScheduleActive) => {
    const id = await c.seed.deployment({ name: c.seed.name(label), schedules });
    const reply = await c.host.get(`/proxy/deployments/${id}`);
    expect(reply.status).toBe(200);
    expect(reply.json).toMatchObject({ cron: text, isScheduleActive, entrypoint: null, tags: [] });
  });

  it('takes cron and activity from the first of several schedules', async () => {
    const schedules = [cron('0 1 * * *', false), { schedule: { interval: 60 }, active: true }];
    const id = await c.seed.deployment({ name: c.seed.name('several'), schedules });
    const stored = (await c.seed.call('GET', `/deployments/${id}`)) as {
      schedules: { active: boolean; schedule: { cron?: string } }[];
    };
    const [first] = stored.schedules;
    expect((await c.host.get(`/proxy/deployments/${id}`)).json).toMatchObject({
      cron: first!.schedule.cron ?? '',
      isScheduleActive: first!.active,
    });
  });

  it.each([UNKNOWN, 'x', '..%3F', 'a%3Fb', '%F0%9F%98%80', `${UNKNOWN}%20`])(
    'answers 404 for %s',
    async (id) => {
      const reply = await c.host.get(`/proxy/deployments/${id}`);
      expect(reply.status).toBe(404);
      expect(reply.json).toMatchObject({
        detail: `failed to fetch deployment ${decodeURIComponent(id)}`,
        code: 'not_found',
      });
      expect(lastUpstreamCalls(c.facade)).toBe(id === UNKNOWN ? 1 : 0);
    },
  );

  it.each(['a%2Fb', '..%2Fflow_runs'])('takes %s for another path', async (id) => {
    const reply = await c.host.get(`/proxy/deployments/${id}`);
    expect([reply.status, reply.json]).toMatchObject([404, { detail: 'Not Found' }]);
  });
});

describe('DELETE /proxy/deployments/{id}', () => {
  it('deletes the deployment', async () => {
    const id = await c.seed.deployment({ name: c.seed.name('gone') });
    const other = await c.seed.deployment({ name: c.seed.name('stays') });
    const reply = await c.host.delete(`/proxy/deployments/${id}`);
    expect([reply.status, reply.text]).toEqual([200, 'null']);
    expect((await c.host.get(`/proxy/deployments/${id}`)).status).toBe(404);
    expect((await c.host.get(`/proxy/deployments/${other}`)).status).toBe(200);
    expect((await c.host.delete(`/proxy/deployments/${id}`)).status).toBe(404);
  });

  it("answers an unknown id with the orchestrator's own text", async () => {
    const reply = await c.host.delete(`/proxy/deployments/${UNKNOWN}`);
    expect(reply.status).toBe(404);
    expect(reply.json).toMatchObject({ detail: '{"detail":"Deployment not found"}', code: 'not_found' });
  });

  it('takes a path that stands by itself for no id', async () => {
    const reply = await c.host.delete('/proxy/deployments/filter');
    expect([reply.status, reply.headers['allow']]).toEqual([405, 'POST']);
    expect(lastUpstreamCalls(c.facade)).toBe(0);
  });

  it.each(['x', '..%3F', '%F0%9F%98%80', `${UNKNOWN}%3Fx=1`])(
    'never asks the orchestrator about %s',
    async (id) => {
      const reply = await c.host.delete(`/proxy/deployments/${id}`);
      expect([reply.status, reply.json]).toMatchObject([404, { code: 'not_found' }]);
      expect(lastUpstreamCalls(c.facade)).toBe(0);
    },
  );
});
