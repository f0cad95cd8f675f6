import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { contract } from '../support/contract.js';

const c = contract();
interface Started {
  flow_run_id: string;
}
const startNow = (deployment: string, headers: Record<string, string>, body: unknown = {}) =>
  c.host.post(`/proxy/deployments/${deployment}/flow_run`, body, { headers });
const plan = (deployment: string, headers: Record<string, string>, body: unknown) =>
  c.host.post(`/proxy/deployments/${deployment}/flow_run/schedule`, body, { headers });
const labelsOf = async (id: string) =>
  ((await c.seed.call('GET', `/flow_runs/${id}`)) as { labels: Record<string, unknown> }).labels;

describe('X-Cleanup-Resources', () => {
  it.each(['now', 'planned'])('is kept with a run that is started (%s)', async (how) => {
    const deployment = await c.seed.deployment({ name: randomUUID() });
    const block = randomUUID();
    const headers = { 'x-cleanup-resources': JSON.stringify({ block_documents: [block.toUpperCase()] }) };
    const reply =
      how === 'now'
        ? await startNow(deployment, headers)
        : await plan(deployment, headers, { runParams: {}, scheduledTime: '2999-01-01T00:00:00Z' });
    expect(reply.status).toBe(200);
    const labels = await labelsOf((reply.json as Started).flow_run_id);
    expect(JSON.parse(String(labels['prefect-proxy.cleanup']))).toEqual({
      block_documents: [block],
      deployments: [],
      concurrency_leases: [],
    });
  });

  it.each(['', 'x', '[]', 'null', '{"blocks":[]}', '{"block_documents":["x"]}', '{"deployments":"x"}'])(
    'is refused where it is %j, and nothing starts',
    async (value) => {
      const deployment = await c.seed.deployment({ name: randomUUID() });
      const reply = await startNow(deployment, { 'x-cleanup-resources': value });
      expect(reply.status).toBe(422);
      expect(reply.text).toContain('["header","x-cleanup-resources"');
      const runs = await c.seed.call('POST', '/flow_runs/filter', {
        deployments: { id: { any_: [deployment] } },
      });
      expect(runs).toEqual([]);
    },
  );

  it('makes a retry a 409 once the run has given it up', async () => {
    const id = await c.seed.flowRun({ states: [{ type: 'FAILED', name: 'Failed' }] });
    const { state } = (await c.seed.call('GET', `/flow_runs/${id}`)) as { state: { id: string } };
    const cleanup = JSON.stringify({ block_documents: [randomUUID()] });
    await c.seed.call('PATCH', `/flow_runs/${id}/labels`, { 'prefect-proxy.cleanup': cleanup });
    const retry = () => c.host.post(`/proxy/flow_runs/${id}/retry`, { minutes: 5 });
    await c.seed.call('PATCH', `/flow_runs/${id}/labels`, { 'prefect-proxy.cleaned': state.id });
    const refused = await retry();
    expect([refused.status, refused.json]).toMatchObject([409, { code: 'conflict' }]);
    await c.seed.call('PATCH', `/flow_runs/${id}/labels`, { 'prefect-proxy.cleaned': randomUUID() });
    expect((await retry()).status).toBe(200);
  });
});

describe('X-Notify', () => {
  it.each(['now', 'planned'])('false is kept with a run that is started (%s)', async (how) => {
    const deployment = await c.seed.deployment({ name: randomUUID() });
    const headers = { 'x-notify': 'False' };
    const reply =
      how === 'now'
        ? await startNow(deployment, headers)
        : await plan(deployment, headers, { runParams: {}, scheduledTime: '2999-01-01T00:00:00Z' });
    expect(reply.status).toBe(200);
    expect(await labelsOf((reply.json as Started).flow_run_id)).toMatchObject({
      'prefect-proxy.notify': 'false',
    });
  });

  it.each([undefined, 'true', 'TRUE'])('%s leaves no trace', async (value) => {
    const deployment = await c.seed.deployment({ name: randomUUID() });
    const reply = await startNow(deployment, value === undefined ? {} : { 'x-notify': value });
    expect(await labelsOf((reply.json as Started).flow_run_id)).not.toHaveProperty(['prefect-proxy.notify']);
  });

  it.each(['no', '0', ''])('is refused if it is %j, and nothing starts', async (value) => {
    const deployment = await c.seed.deployment({ name: randomUUID() });
    const reply = await startNow(deployment, { 'x-notify': value });
    expect(reply.status).toBe(422);
    expect(reply.text).toContain('["header","x-notify"');
    const runs = await c.seed.call('POST', '/flow_runs/filter', {
      deployments: { id: { any_: [deployment] } },
    });
    expect(runs).toEqual([]);
  });
});

describe('Idempotency-Key', () => {
  it('starts one run, however often and however many at once ask', async () => {
    const deployment = await c.seed.deployment({ name: randomUUID() });
    const headers = { 'idempotency-key': 'nightly "ü"'.normalize('NFC').replace('ü', 'u') };
    const first = await startNow(deployment, headers, { a: 1.5 });
    const again = await Promise.all([1, 2, 3].map(() => startNow(deployment, headers, { a: 1.5 })));
    const ids = [first, ...again].map((reply) => (reply.json as Started).flow_run_id);
    expect(new Set(ids).size).toBe(1);
    const planned = { runParams: { b: 2 }, scheduledTime: '2999-01-01T00:00:00Z' };
    const other = { 'idempotency-key': 'other' };
    expect((await plan(deployment, other, planned)).json).toEqual(
      (await plan(deployment, other, planned)).json,
    );
  });

  it('is refused with other parameters or another time', async () => {
    const deployment = await c.seed.deployment({ name: randomUUID() });
    const headers = { 'idempotency-key': randomUUID() };
    expect((await startNow(deployment, headers, { a: 1 })).status).toBe(200);
    const other = await startNow(deployment, headers, { a: 2 });
    expect([other.status, other.json]).toMatchObject([422, { code: 'validation_failed' }]);
    expect(other.text).toContain('idempotency key');
    const planned = { runParams: { a: 1 }, scheduledTime: '2999-01-01T00:00:00Z' };
    expect((await plan(deployment, headers, planned)).status).toBe(422);
  });

  it('means another run in another deployment of the same flow', async () => {
    const [one, two] = [
      await c.seed.deployment({ name: randomUUID() }),
      await c.seed.deployment({ name: randomUUID() }),
    ];
    const headers = { 'idempotency-key': 'same' };
    const replies = [await startNow(one, headers), await startNow(two, headers)];
    expect(replies.map((reply) => reply.status)).toEqual([200, 200]);
    expect(new Set(replies.map((reply) => (reply.json as Started).flow_run_id)).size).toBe(2);
  });

  it('may not be empty or endless', async () => {
    const deployment = await c.seed.deployment({ name: randomUUID() });
    for (const key of ['', 'x'.repeat(256)]) {
      expect((await startNow(deployment, { 'idempotency-key': key })).status).toBe(422);
    }
  });
});
