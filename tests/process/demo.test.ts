import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { runDemo } from '../../src/demo.js';

type Replies = Record<string, unknown>;
const ID = '0d65de6d-ae26-4dc7-9aee-998e7f86ed27';
const run = (type: string, name: string) => ({
  id: ID,
  name: 'a-run',
  state: { type, name, message: 'why' },
});

/** The routes that the demo calls; a list is given out one by one, its last element for ever. A number is a status. */
const healthy = (): Replies => ({
  'GET /proxy/prefect/version': '3.8.8',
  'POST /proxy/blocks/secret/': { block_id: 'B', block_name: 'b' },
  'POST /proxy/v1/deployments/': { deployment: { id: 'D', name: 'd', params: {} } },
  'POST /proxy/deployments/D/flow_run': { flow_run_id: ID, name: 'a-run' },
  [`GET /proxy/flow_runs/${ID}/poll`]: [
    run('SCHEDULED', 'Scheduled'),
    run('RUNNING', 'Running'),
    run('COMPLETED', 'Completed'),
  ],
  [`GET /proxy/flow_runs/graph/${ID}`]: [{ label: 'shellop-extract', state_name: 'Completed' }],
  [`GET /proxy/flow_runs/logs/${ID}`]: {
    offset: 0,
    logs: [{ message: 'reading 3 rows' }, { message: 'wrote 3 rows' }],
  },
  'GET /proxy/flow_runs?deployment_id=D': { flow_runs: [{ id: ID }] },
  'POST /proxy/deployments/D/set_schedule/inactive': { success: 1 },
  'POST /proxy/deployments/D/set_schedule/active': { success: 1 },
  'GET /proxy/deployments/D': [
    { deploymentId: 'D', cron: '0 3 * * *', isScheduleActive: false },
    { deploymentId: 'D', cron: '0 3 * * *', isScheduleActive: true },
  ],
  [`DELETE /proxy/flow_runs/${ID}`]: { success: 1 },
  'DELETE /proxy/deployments/D': null,
  'DELETE /delete-a-block/B': null,
});

async function demoAgainst(replies: Replies, { timeLimitMs = 10_000, login = '' } = {}) {
  const calls: string[] = [];
  const keys = new Set<string | undefined>();
  const server = createServer((request, response) => {
    keys.add(request.headers.authorization);
    const call = `${request.method ?? ''} ${request.url ?? ''}`;
    calls.push(call);
    const reply = replies[call];
    const value: unknown = Array.isArray(reply) && call.endsWith('/poll') ? next(reply) : reply;
    const body: unknown =
      Array.isArray(value) && call.startsWith('GET /proxy/deployments') ? next(value) : value;
    if (typeof body === 'number') response.writeHead(body).end('{"detail":"broken"}');
    else response.writeHead(body === undefined ? 404 : 200).end(JSON.stringify(body ?? null));
  }).listen(0, '127.0.0.1');
  onTestFinished(() => {
    server.close();
  });
  await once(server, 'listening');
  const lines: string[] = [];
  const baseUrl = `http://${login}127.0.0.1:${(server.address() as AddressInfo).port}`;
  const ok = await runDemo({
    baseUrl,
    write: (line) => lines.push(line),
    timeLimitMs,
    pollIntervalMs: 1,
  });
  return {
    ok,
    keys: [...keys],
    text: lines.join('\n'),
    deleted: calls.filter((call) => call.startsWith('DELETE')),
  };
}

const next = (list: unknown[]): unknown => (list.length > 1 ? list.shift() : list[0]);
const ALL = [`DELETE /proxy/flow_runs/${ID}`, 'DELETE /proxy/deployments/D', 'DELETE /delete-a-block/B'];

describe('the demo', () => {
  test('tells each step, and deletes what it made', async () => {
    const { ok, text, deleted } = await demoAgainst(healthy());
    expect(text).toMatch(/✓ reach Prefect 3\.8\.8 .* ms/);
    expect(text).toMatch(/Scheduled\n.*Running\n.*Completed\n✓ follow the run/);
    expect(text).toContain('shellop-extract: Completed');
    expect(text).toMatch(/✓ resume the schedule/);
    expect(deleted).toEqual(ALL);
    expect(ok).toBe(true);
  });

  test('sends the key that its URL holds, and does not print it', async () => {
    const { ok, keys, text } = await demoAgainst(healthy(), { login: 'x:k3y-in-the-url@' });
    expect(keys).toEqual([`Basic ${Buffer.from('x:k3y-in-the-url').toString('base64')}`]);
    expect(ok).toBe(true);
    const broken = await demoAgainst({}, { login: 'x:k3y-in-the-url@' });
    expect(text + broken.text).not.toContain('k3y-in-the-url');
  });

  test('a run that fails: which step, why, and all is deleted nevertheless', async () => {
    const { ok, text, deleted } = await demoAgainst({
      ...healthy(),
      [`GET /proxy/flow_runs/${ID}/poll`]: [run('FAILED', 'Failed')],
    });
    expect(text).toMatch(/✗ follow the run to its end.*\n.*ended as Failed: why/);
    expect(text).not.toContain('read the graph');
    expect(deleted).toEqual(ALL);
    expect(ok).toBe(false);
  });

  test('a run that never starts: a hint about workers', async () => {
    const stuck = {
      ...healthy(),
      [`GET /proxy/flow_runs/${ID}/poll`]: [run('SCHEDULED', 'Late')],
      'POST /proxy/workers/filter/': { count: 0 },
    };
    expect((await demoAgainst(stuck, { timeLimitMs: 20 })).text).toContain(
      'still Late after 0 s; no worker is online',
    );
  });

  test('an error reply: status and detail', async () => {
    const { text, deleted, ok } = await demoAgainst({ ...healthy(), 'POST /proxy/v1/deployments/': 502 });
    expect(text).toContain('POST /proxy/v1/deployments/ was answered with 502: broken');
    expect(deleted).toEqual(['DELETE /delete-a-block/B']);
    expect(ok).toBe(false);
  });

  test('a schedule that does not follow is a failure', async () => {
    const stays = { deploymentId: 'D', cron: '0 3 * * *', isScheduleActive: true };
    const { ok, text } = await demoAgainst({ ...healthy(), 'GET /proxy/deployments/D': stays });
    expect(text).toMatch(/✗ pause the schedule/);
    expect(ok).toBe(false);
  });

  test('nothing there: how to start it', async () => {
    const lines: string[] = [];
    const ok = await runDemo({ baseUrl: 'http://127.0.0.1:1', write: (line) => lines.push(line) });
    expect(lines.join('\n')).toContain('nothing answers at http://127.0.0.1:1: start it with npm start');
    expect(ok).toBe(false);
  });
});
