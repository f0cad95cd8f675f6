import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { startChild, type Child } from '../../src/process/local/child.js';
import { cleanedEnv, prefectEnv } from '../../src/process/local/clean-env.js';
import { endStack } from '../../src/process/local/end-stack.js';
import { makeProgress } from '../../src/process/local/progress.js';
import { ensurePythonEnv } from '../../src/process/local/python-env.js';
import { deployFlows, NAMES } from '../process/deploy-flows.js';
import { contract } from '../support/contract.js';

/** The examples as users try them: deployed by the command, started through the facade, run by a worker. */
const c = contract();
const root = new URL('../..', import.meta.url).pathname;
const version = process.env['PREFECT_VERSION_UNDER_TEST'] ?? '';
const RUN_TIMEOUT = 90_000;

let home: string;
let worker: Child;
let pool: string;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'prefect-proxy-examples-'));
  pool = await c.seed.pool();
  worker = await startWorker();
  const { code, text } = await deploy();
  expect(text.match(/made; paused/g)).toHaveLength(NAMES.length);
  expect(code).toBe(0);
});
afterAll(async () => {
  await endStack(home, { worker });
  for (const { id } of rows.parse(await c.seed.call('POST', '/flows/filter', flowsOfExamples))) {
    await c.seed.call('DELETE', `/flows/${id}`);
  }
  await rm(home, { recursive: true });
});

const rows = z.array(z.looseObject({ id: z.string() }));
const flowsOfExamples = { flows: { name: { any_: NAMES } } };
const deploy = () => deployFlows(c.apiUrl, { paused: true, pool });

/** A process worker of the version under test, in the environment of its server (see real-server.ts). */
async function startWorker(): Promise<Child> {
  const local = join(root, '.local', `prefect-${version}`);
  const lockFile = join(root, 'flows', `requirements-${version}.lock`);
  // The folder marks its processes, so that just these are ended.
  const env = cleanedEnv(process.env, home);
  const bin = join(await ensurePythonEnv({ local, lockFile, env, progress: makeProgress(() => {}) }), 'bin');
  const args = ['worker', 'start', '--pool', pool, '--type', 'process', '--install-policy', 'never'];
  return startChild('worker', join(bin, 'prefect'), args, {
    env: { ...prefectEnv(env, { home, apiUrl: c.apiUrl, bin }), PREFECT_WORKER_QUERY_SECONDS: '1' },
    cwd: home,
    logFile: join(home, 'worker.log'),
  });
}

const withId = z.looseObject({ id: z.string() });
const state = z.object({ type: z.string(), name: z.string(), message: z.string().nullable() });
const polled = z.looseObject({ id: z.string(), state });

async function start(name: string, parameters: Record<string, unknown> = {}): Promise<string> {
  const { id } = withId.parse(await c.seed.call('GET', `/deployments/name/${name}/example`));
  const { json } = await c.host.post(`/proxy/deployments/${id}/flow_run`, parameters);
  return z.object({ flow_run_id: z.string() }).parse(json).flow_run_id;
}

async function endOf(runId: string) {
  const read = async () => polled.parse((await c.host.get(`/proxy/flow_runs/${runId}/poll`)).json).state;
  await expect
    .poll(async () => (await read()).type, { timeout: RUN_TIMEOUT, interval: 500 })
    .toMatch(/COMPLETED|FAILED|CRASHED|CANCELLED/);
  return read();
}

/** Logs are written after the run: the worker's own process sends what is left at its end. */
const expectLogs = (runId: string, ...messages: string[]) =>
  expect
    .poll(async () => (await c.host.get(`/proxy/flow_runs/logs/${runId}?limit=500`)).text, {
      timeout: 15_000,
    })
    .toSatisfy((text: string) => messages.every((message) => text.includes(JSON.stringify(message))));

const artifact = z.looseObject({ key: z.string(), data: z.unknown() });
async function artifactOf(runId: string) {
  const filter = { artifacts: { flow_run_id: { any_: [runId] } } };
  const [found, ...more] = z.array(artifact).parse(await c.seed.call('POST', '/artifacts/filter', filter));
  expect(more).toEqual([]);
  return {
    key: found?.key,
    data: typeof found?.data === 'string' ? (JSON.parse(found.data) as unknown) : found?.data,
  };
}

describe('the examples on a worker', () => {
  it('print, run a command, check names, tell what was skipped, run at once and say which failed', async () => {
    expect((await deploy()).text.match(/left as it is; still paused/g)).toHaveLength(NAMES.length);
    // All of them together: a run is mostly the start of its process.
    const [shell, file, together] = [
      await start('run-shell-command', { command: 'echo "<$1>"; echo oops >&2', arguments: ['a; echo b'] }),
      await start('create-text-file'),
      await start('run-deployments', {
        runs: [
          { deployment: 'print-message/example', parameters: { message: 'Grüße' } },
          { deployment: 'check-file-names/example', parameters: { pattern: '2026-0[1-2]-.*' } },
        ],
      }),
    ];

    expect(await endOf(shell)).toMatchObject({ type: 'COMPLETED', name: 'Completed' });
    await expectLogs(shell, '<a; echo b>', 'oops');
    expect(await artifactOf(shell)).toMatchObject({
      key: 'task-results',
      data: { tasks: [{ state_type: 'COMPLETED', result: ['<a; echo b>'] }] },
    });

    const skipped = await endOf(file);
    expect(skipped).toMatchObject({ type: 'COMPLETED', name: 'Skipped' });
    expect(skipped.message).toMatch(/^Skipped: cmd\.exe is a part of Windows/);

    const failed = await endOf(together);
    const why = '3 files checked, 1 with a wrong name: 2026-03-02-faq.md';
    expect(failed).toMatchObject({
      type: 'FAILED',
      message: `1 of 2 runs did not succeed: check-file-names/example (Failed: ${why})`,
    });
    const outcomes = await artifactOf(together);
    expect(outcomes).toMatchObject({
      key: 'deployment-runs',
      data: [
        { deployment: 'print-message/example', state: 'Completed' },
        { deployment: 'check-file-names/example', state: 'Failed', message: why },
      ],
    });
    // The facade's logs are of all depths: the subflows' are among them.
    await expectLogs(together, 'Grüße', why);
    const [, check] = z.array(z.object({ flow_run_id: z.string() })).parse(outcomes.data);
    expect(await artifactOf(check?.flow_run_id ?? '')).toMatchObject({
      key: 'file-names',
      data: [{ file: '2026-03-02-faq.md' }],
    });
  });

  it('are planned by their schedule once they are resumed', async () => {
    const only = ['print-message'];
    const { text } = await deployFlows(c.apiUrl, { paused: false, pool, only });
    expect(text).toContain('resumed, every 300 s');
    const { id } = withId.parse(await c.seed.call('GET', '/deployments/name/print-message/example'));
    const planned = async () => {
      const filter = {
        flow_runs: { deployment_id: { any_: [id] }, state: { type: { any_: ['SCHEDULED'] } } },
      };
      return c.seed.call('POST', '/flow_runs/count', filter);
    };
    // Prefect's scheduler looks for changed deployments each 5 s.
    await expect.poll(planned, { timeout: 60_000 }).toBeGreaterThan(2);
    await deployFlows(c.apiUrl, { paused: true, pool, only });
    expect(await planned()).toBe(0);
  });
});
