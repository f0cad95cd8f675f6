import { describe, expect, it } from 'vitest';
import { contract, lastUpstreamCalls } from '../support/contract.js';

const c = contract();
const UNKNOWN = '00000000-0000-4000-8000-000000000000';
const CRON = { cron: '0 5 * * *', timezone: 'Asia/Kolkata', day_or: false };
const INTERVAL = { interval: 3600, anchor_date: '2026-01-01T00:00:00Z', timezone: 'UTC' };
const RRULE = { rrule: 'FREQ=DAILY;COUNT=5', timezone: 'UTC' };
const DETAILED = {
  schedule: CRON,
  slug: 'nightly',

  parameters: { config: { a: 1.5 } },
};

interface Schedule {
  id: string;
  active: boolean;
  schedule: Record<string, unknown>;
}
interface Stored {
  paused: boolean;
  schedules: Schedule[];
}

const stored = async (id: string) => (await c.seed.call('GET', `/deployments/${id}`)) as Stored;
const set = (id: string, status: string) =>
  c.host.post(`/proxy/deployments/${id}/set_schedule/${status}`, {});
const read = async (id: string) => (await c.host.get(`/proxy/deployments/${id}`)).json;

/** Everything of a schedule that must survive: all but the switch and the time of its change. */
const kept = ({ schedules }: Stored) =>
  schedules
    .map((one) => ({ ...one, active: undefined, updated: undefined }))
    .sort((a, b) => a.id.localeCompare(b.id));

async function success(id: string, status: string): Promise<void> {
  const reply = await set(id, status);
  expect([reply.status, reply.text]).toEqual([200, '{"success":1}']);
}

describe('POST /proxy/deployments/{id}/set_schedule/{status}', () => {
  it.each([
    ['cron', [{ schedule: CRON }]],
    ['interval', [{ schedule: INTERVAL }]],
    ['rrule', [{ schedule: RRULE }]],
    ['all', [{ schedule: CRON }, { schedule: INTERVAL }, { schedule: RRULE }]],
    ['detailed', [DETAILED, { schedule: INTERVAL, slug: 'hourly' }]],
  ])('switches every schedule and the deployment, and keeps the rest (%s)', async (label, given) => {
    const schedules = given.map((one) => ({ ...one, active: true }));
    const id = await c.seed.deployment({ name: c.seed.name(label), schedules });
    const before = await stored(id);
    for (const [status, active] of [
      ['inactive', false],
      ['active', true],
    ] as const) {
      await success(id, status);
      const after = await stored(id);
      expect(after.paused).toBe(!active);
      expect(after.schedules.map((one) => one.active)).toEqual(given.map(() => active));
      expect(kept(after)).toEqual(kept(before));
      expect(await read(id)).toMatchObject({ isScheduleActive: active });
    }
  });

  it('changes nothing else of the deployment', async () => {
    const id = await c.seed.deployment({
      name: c.seed.name('rest'),
      schedules: [{ schedule: CRON, active: true }],
      parameters: { config: { a: 1 } },
      tags: ['x'],
      work_pool_name: await c.seed.pool(),
      work_queue_name: 'q',
    });
    const before = await stored(id);
    await success(id, 'inactive');
    const after = await stored(id);
    const changed = { paused: true, updated: expect.anything() as unknown, schedules: after.schedules };
    // The server derives the status from work that is due.
    expect({ ...after, status: '' }).toEqual({ ...before, ...changed, status: '' });
  });

  it.each(['active', 'inactive'])('succeeds without schedules (%s)', async (status) => {
    const id = await c.seed.deployment({ name: c.seed.name(`none-${status}`) });
    await success(id, status);
    expect(await stored(id)).toMatchObject({ paused: status === 'inactive', schedules: [] });
    expect(await read(id)).toMatchObject({ cron: '', isScheduleActive: false });
  });

  it('brings schedules that differ into line', async () => {
    const schedules = [
      { schedule: CRON, active: false },
      { schedule: INTERVAL, active: true },
    ];
    const id = await c.seed.deployment({ name: c.seed.name('mixed'), schedules, paused: true });
    await success(id, 'active');
    expect(await stored(id)).toMatchObject({
      paused: false,
      schedules: [{ active: true }, { active: true }],
    });
  });

  it('takes a call to read, one for each change, and one to see that nobody came in between', async () => {
    const schedules = [
      { schedule: CRON, active: true },
      { schedule: INTERVAL, active: true },
    ];
    const id = await c.seed.deployment({ name: c.seed.name('calls'), schedules });
    const calls = async (status: string) => {
      await success(id, status);
      return lastUpstreamCalls(c.facade);
    };
    expect(await calls('active')).toBe(1);
    const changes = await calls('inactive');
    // SQLite answers 503 to writes at once, and each repetition is a call.
    if (c.mock) expect(changes).toBe(5);
    expect(await calls('inactive')).toBe(1);
  });

  it.each([{}, { any: 1 }, [], null, undefined])('does not look at the body (%j)', async (body) => {
    const id = await c.seed.deployment({ name: c.seed.name('any-body') });
    const reply = await c.host.post(`/proxy/deployments/${id}/set_schedule/active/`, body);
    expect([reply.status, reply.text]).toEqual([200, '{"success":1}']);
  });

  it.each(['other', 'Active', 'ACTIVE', 'true', '%20', 'active%20', 'active%3F', '%F0%9F%98%80', 'inactiv'])(
    'refuses the status %s before it looks at the id',
    async (status) => {
      for (const id of [UNKNOWN, 'x']) {
        const reply = await set(id, status);
        expect(reply.status).toBe(422);
        expect(reply.json).toMatchObject({ detail: 'incorrect status value', code: 'validation_failed' });
        expect(lastUpstreamCalls(c.facade)).toBe(0);
      }
    },
  );

  it.each([UNKNOWN, 'x', '..%3F', '%20'])('answers 404 for %s', async (id) => {
    const reply = await set(id, 'active');
    expect(reply.status).toBe(404);
    expect(reply.json).toMatchObject({ detail: 'failed to set schedule', code: 'not_found' });
  });

  it('takes an encoded slash for another path', async () => {
    const reply = await set(UNKNOWN, 'act%2Five');
    expect([reply.status, reply.json]).toMatchObject([404, { detail: 'Not Found' }]);
  });
});
