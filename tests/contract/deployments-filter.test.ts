import { describe, expect, inject, it } from 'vitest';
import { contract, lastUpstreamCalls } from '../support/contract.js';
import { startFacade } from '../support/facade.js';
import { Host } from '../support/host.js';

const c = contract();
const URL = '/proxy/deployments/filter';
const UNKNOWN = '00000000-0000-4000-8000-000000000000';

interface Row {
  deploymentId: string;
  name: string;
  cron: string;
}

const filter = async (org_slug: string, deployment_ids: string[] | null) => {
  const reply = await c.host.post(URL, { org_slug, deployment_ids });
  expect(reply.status).toBe(200);
  expect(Object.keys(reply.json as object)).toEqual(['deployments']);
  return (reply.json as { deployments: Row[] }).deployments;
};
const ids = (rows: Row[]) => rows.map((row) => row.deploymentId).sort();

/** Deployments of an organisation. */
async function seeded(org: string, count: number): Promise<string[]> {
  const made: string[] = [];
  for (let n = 0; n < count; n += 1) {
    made.push(await c.seed.deployment({ name: `${org}-${n}`, tags: [org, 'x'] }));
  }
  return made.sort();
}

describe('POST /proxy/deployments/filter', () => {
  it('gives each deployment as it is read alone, in one call', async () => {
    const org = c.seed.name('org-ü 😀');
    const schedules = [
      [{ schedule: { cron: '0 1 * * *' }, active: true }],
      [{ schedule: { interval: 60 }, active: true }],
      [{ schedule: { rrule: 'FREQ=DAILY' }, active: false }],
      [],
    ];
    for (const [n, given] of schedules.entries()) {
      const parameters = { config: { n, text: 'ü✓' } };
      await c.seed.deployment({ name: `${org} ${n}`, tags: [org], schedules: given, parameters });
    }
    const rows = await filter(org, null);
    expect(lastUpstreamCalls(c.facade)).toBe(1);
    expect(rows.map((row) => row.cron)).toEqual(['0 1 * * *', '', '', '']);
    for (const row of rows) {
      const alone = await c.host.get(`/proxy/deployments/${row.deploymentId}`);
      expect(JSON.stringify(row)).toBe(alone.text);
    }
  });

  it('gives all of the organisation for null, none for an empty list', async () => {
    const [org, other] = [c.seed.name('all'), c.seed.name('all-others')];
    const [ours] = [await seeded(org, 3), await seeded(other, 1)];
    expect(ids(await filter(org, null))).toEqual(ours);
    expect(await filter(org, [])).toEqual([]);
    expect(lastUpstreamCalls(c.facade)).toBe(0);
  });

  it('gives those asked for, and never those of others', async () => {
    const [org, other] = [c.seed.name('some'), c.seed.name('some-others')];
    const [ours, theirs] = [await seeded(org, 3), await seeded(other, 2)];
    const asked = [ours[0]!, ours[2]!, theirs[0]!, UNKNOWN, ours[0]!];
    expect(ids(await filter(org, asked))).toEqual([ours[0], ours[2]].sort());
    expect(await filter(org, theirs)).toEqual([]);
    expect(await filter(org, [UNKNOWN])).toEqual([]);
  });

  it.each(['no-such-org', '', '..', 'a/b', '%'])('knows nothing of the organisation %j', async (org) => {
    expect(await filter(org, null)).toEqual([]);
  });

  it.each([
    [{ org_slug: undefined }, 'missing', ['body', 'org_slug']],
    [{ deployment_ids: undefined }, 'missing', ['body', 'deployment_ids']],
    [{ org_slug: null }, 'string_type', ['body', 'org_slug']],
    [{ deployment_ids: UNKNOWN }, 'list_type', ['body', 'deployment_ids']],
    [{ deployment_ids: {} }, 'list_type', ['body', 'deployment_ids']],
    [{ deployment_ids: [UNKNOWN, 7] }, 'string_type', ['body', 'deployment_ids', 1]],
    [{ deployment_ids: ['x'] }, 'uuid_parsing', ['body', 'deployment_ids', 0]],
  ])('answers 422 to %j', async (fields, type, loc) => {
    const reply = await c.host.post(URL, { org_slug: 'o', deployment_ids: [], ...fields });
    expect(reply.status).toBe(422);
    expect(reply.json).toMatchObject({ detail: [{ type, loc }], code: 'validation_failed' });
    expect(lastUpstreamCalls(c.facade)).toBe(0);
  });

  // Hundreds of creations take minutes on SQLite.
  it.skipIf(inject('orchestratorUrl'))('is complete beyond a page of the orchestrator', async () => {
    const org = c.seed.name('many');
    const made = await seeded(org, 450);
    expect(ids(await filter(org, null))).toEqual(made);
    expect(lastUpstreamCalls(c.facade)).toBeLessThanOrEqual(4);
    expect(ids(await filter(org, made))).toEqual(made);
  });

  it('says in a header where the ceiling cut it', async () => {
    const org = c.seed.name('ceiling');
    const made = await seeded(org, 4);
    const facade = await startFacade(c.apiUrl, { LIST_CEILING: '3' });
    const host = new Host(facade.url);
    const cut = await host.post(URL, { org_slug: org, deployment_ids: null });
    const whole = await host.post(URL, { org_slug: org, deployment_ids: made.slice(0, 3) });
    await host.close();
    await facade.close();
    expect(cut.headers['x-result-cut-at']).toBe('3');
    expect((cut.json as { deployments: Row[] }).deployments).toHaveLength(3);
    expect(whole.headers).not.toHaveProperty('x-result-cut-at');
    expect((whole.json as { deployments: Row[] }).deployments).toHaveLength(3);
  });
});
