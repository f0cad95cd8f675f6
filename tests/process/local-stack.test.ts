import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { transformSync } from 'esbuild';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { stackProcesses } from '../../src/process/local/processes.js';
import { freePort, startLocalStack, type LocalStackOptions } from '../../src/process/local-stack.js';
import { fakePython, tempDir } from './fixtures.js';

const FAKE_PREFECT = readFileSync(new URL('fake-prefect.ts', import.meta.url), 'utf8');

/** The whole stack, with fakes in the place of Python and Prefect. */
async function start(more: Partial<LocalStackOptions> = {}, root = tempDir()) {
  mkdirSync(join(root, 'flows'), { recursive: true });
  writeFileSync(join(root, 'flows', 'requirements-3.8.8.lock'), 'prefect==3.8.8\n');
  const prefect = join(root, 'prefect.mjs');
  writeFileSync(prefect, transformSync(FAKE_PREFECT, { loader: 'ts', format: 'esm' }).code);
  const python = fakePython(join(root, 'bin'), { run: `exec "${process.execPath}" "${prefect}" "$@"` });
  const stack = await startLocalStack({
    root,
    poolName: 'dalgo_work_pool',
    poolType: 'process',
    queues: [{ name: 'ddp', concurrencyLimit: 3 }, { name: 'manual-dbt' }],
    prefectPort: await freePort(24_200),
    say: () => undefined,
    onCrash: () => undefined,
    python: python.path,
    ...more,
  });
  onTestFinished(() => stack.stop());
  const local = join(root, '.local');
  const parts = () => stackProcesses(local, new Map());
  const log = (name: string) => readFileSync(join(local, 'logs', `${name}.log`), 'utf8');
  return { root, stack, parts, log };
}

beforeEach(() => {
  vi.unstubAllEnvs();
});

// Without /proc there is no mark to find the processes by, and the fakes don't run from `.local/`.
describe.runIf(process.platform === 'linux')('the local stack', () => {
  test('starts server, pool, queues and worker; stops all, however often it is told to', async () => {
    const { stack, parts, log } = await start();
    expect(stack.apiUrl).toBe(`${stack.uiUrl}/api`);
    expect(log('server')).toContain('POST /api/work_pools/ {"name":"dalgo_work_pool","type":"process"}');
    expect(log('server')).toContain('/queues {"name":"ddp","concurrency_limit":3}');
    expect(log('server')).toContain('/queues {"name":"manual-dbt"}');
    expect(log('worker')).toContain('worker is up');
    expect(parts()).toHaveLength(2);
    await Promise.all([stack.stop(), stack.stop()]);
    expect(parts()).toEqual([]);
  });

  test('takes a pool that exists; sets the limits that are given', async () => {
    vi.stubEnv('FAKE_POOL_TYPE', 'process');
    const { log } = await start();
    expect(log('server')).toContain(
      'PATCH /api/work_pools/dalgo_work_pool/queues/ddp {"concurrency_limit":3}',
    );
    expect(log('server')).not.toContain('PATCH /api/work_pools/dalgo_work_pool/queues/manual-dbt');
  });

  test('refuses a pool of another type, and leaves nothing running', async () => {
    vi.stubEnv('FAKE_POOL_TYPE', 'docker');
    const root = tempDir();
    await expect(start({}, root)).rejects.toThrow(/is of type docker, not process/);
    expect(stackProcesses(join(root, '.local'), new Map())).toEqual([]);
  });

  test('a server that dies at the start: its last words are in the error', async () => {
    vi.stubEnv('FAKE_SERVER', 'broken');
    await expect(start()).rejects.toThrow(/server ended with code 3[^]*ImportError: no module named uvicorn/);
  });

  test('a part that dies later is reported, once', async () => {
    const crashes: string[] = [];
    const reported = new Promise<string[]>((resolve) => {
      const onCrash = (what: string, lines: string[]) => {
        crashes.push(what);
        resolve(lines);
      };
      void start({ onCrash }).then(({ parts }) => {
        for (const { pid } of parts()) process.kill(pid, 'SIGKILL');
      });
    });
    expect((await reported).join()).toContain('is up');
    expect(crashes).toEqual([expect.stringMatching(/^(server|worker) was ended by SIGKILL$/)]);
  });

  test('a second one in the same directory is refused and does no harm', async () => {
    const { root, parts } = await start();
    await expect(start({}, root)).rejects.toThrow(/Another start is under way in this directory/);
    expect(parts()).toHaveLength(2);
  });

  test('given up in mid-start, it leaves nothing', async () => {
    const root = tempDir();
    const abort = new AbortController();
    const say = (line: string) => {
      if (line.startsWith('Worker starts')) abort.abort();
    };
    await expect(start({ say, signal: abort.signal }, root)).rejects.toThrow(/abort/);
    expect(stackProcesses(join(root, '.local'), new Map())).toEqual([]);
  });
});
