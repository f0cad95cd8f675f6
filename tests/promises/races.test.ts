import { describe, expect, it } from 'vitest';
import { contract } from '../support/contract.js';

/* A write that stands on a read, and somebody else who writes in between. */

const c = contract();
interface Found {
  paused: boolean;
  schedules: { id: string; active: boolean; schedule: { cron: string } }[];
}
const read = async (id: string) => (await c.seed.call('GET', `/deployments/${id}`)) as Found;
const scheduled = (cron = '0 1 * * *') =>
  c.seed.deployment({ schedules: [{ active: true, schedule: { cron } }] });
const put = (id: string, cron: string) =>
  c.host.put(`/proxy/v1/deployments/${id}`, { deployment_params: {}, cron });
const set = (id: string, status: string) => c.host.post(`/proxy/deployments/${id}/set_schedule/${status}`);

describe('Switching a schedule beside a PUT of the same deployment', () => {
  it('succeeds, loses no schedule, and leaves both saying the same', async () => {
    const id = await scheduled();
    for (let n = 0; n < 10; n += 1) {
      const replies = await Promise.all([
        set(id, n % 2 === 0 ? 'inactive' : 'active'),
        put(id, `${n} 2 * * *`),
        put(id, `${n} 3 * * *`),
      ]);
      expect(replies.map(({ status }) => status)).toEqual([200, 200, 200]);
      const { paused, schedules } = await read(id);
      expect(schedules).toHaveLength(1);
      expect(schedules.map(({ active }) => active)).toEqual([!paused]);
    }
  }, 120_000);
});

describe('A schedule that is replaced between the read and the write', () => {
  it('is read again and switched', async (test) => {
    if (!c.mock) return test.skip();
    const id = await scheduled();
    let isReplaced = false;
    let replacing: Promise<unknown> = Promise.resolve();
    c.mock.fault(({ method, path, headers }) => {
      if (method !== 'PATCH' || !path.includes('/schedules/') || isReplaced) return undefined;
      if (headers['user-agent'] === 'node') return undefined;
      isReplaced = true;
      const schedules = [{ active: true, schedule: { cron: '0 4 * * *' } }];
      replacing = c.seed.call('PATCH', `/deployments/${id}`, { schedules });
      return { until: replacing.then(() => undefined) };
    });
    expect((await set(id, 'inactive')).status).toBe(200);
    const { paused, schedules } = await read(id);
    expect(paused).toBe(true);
    expect(schedules).toMatchObject([{ active: false, schedule: { cron: '0 4 * * *' } }]);
  });

  it('is a 409 with words if that happens again and again, and a 404 if the deployment is deleted', async (test) => {
    if (!c.mock) return test.skip();
    const id = await scheduled();
    const gone = { status: 404, body: '{"detail":"Schedule not found."}' };
    c.mock.reset();
    c.mock.fault(({ path }) => (path.includes('/schedules/') ? gone : undefined));
    const reply = await set(id, 'inactive');
    expect(reply).toMatchObject({
      status: 409,
      json: { code: 'conflict', detail: 'failed to set schedule' },
    });
    expect((reply.json as { upstream: string }).upstream).toContain('try again');
    c.mock.reset();
    c.mock.fault(({ path }) => (path.includes('/schedules/') ? gone : undefined));
    let reads = 0;
    c.mock.fault(({ method, path }) =>
      method === 'GET' && path === `/deployments/${id}` && (reads += 1) > 1
        ? { status: 404, body: '{"detail":"Deployment not found"}' }
        : undefined,
    );
    expect((await set(id, 'inactive')).status).toBe(404);
  });
});
