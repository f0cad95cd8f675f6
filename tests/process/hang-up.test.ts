import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { transformSync } from 'esbuild';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { startOf, stackProcesses } from '../../src/process/local/processes.js';
import { Host } from '../support/host.js';
import { Load } from '../support/load.js';
import { buildProgram, Program } from '../support/program.js';
import { startSlowUpstream, type SlowUpstream } from '../support/slow-upstream.js';
import { fakePython } from './fixtures.js';

vi.setConfig({ testTimeout: 90_000 });

type Built = Awaited<ReturnType<typeof buildProgram>>;
let service: Built;
let stack: Built;
let upstream: SlowUpstream;
let directory: string;
beforeAll(async () => {
  [service, stack] = await Promise.all([buildProgram(), buildProgram('tests/support/stack-program.ts')]);
  upstream = await startSlowUpstream('3.8.8');
});
afterAll(async () => {
  await upstream.close();
  await Promise.all([service.remove(), stack.remove()]);
});
beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'prefect-proxy-')));
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

describe('SIGHUP to a single process', () => {
  let program: Program;
  let url: string;
  beforeEach(async () => {
    writeFileSync(join(directory, '.env'), `PREFECT_API_URL=${upstream.apiUrl}\n`);
    program = new Program({ file: service.file, cwd: directory, env: { WEB_CONCURRENCY: '1' } });
    url = String((await program.logged('listening'))[0]!['url']);
  });
  afterEach(() => program.end());

  const version = async () => {
    const host = new Host(url);
    const { json } = await host.get('/proxy/prefect/version');
    await host.close();
    return json;
  };

  it('reads the configuration again and serves by it, with no failed request', async () => {
    const other = await startSlowUpstream('3.6.29');
    const load = new Load(url);
    await load.more(50);
    expect(await version()).toBe('3.8.8');
    writeFileSync(join(directory, '.env'), `PREFECT_API_URL=${other.apiUrl}\n`);
    program.signal('SIGHUP');
    await program.logged('reloaded');
    await load.more(50);
    expect(await version()).toBe('3.6.29');
    await load.stop();
    expect(load.failures).toEqual([]);
    program.signal('SIGTERM');
    expect(await program.closed).toEqual([0, null]);
    await other.close();
  });

  it('lets requests under way be finished by the configuration that they began with', async () => {
    const other = await startSlowUpstream('3.6.29');
    // What the service asks by itself at the start is answered before.
    expect(await version()).toBe('3.8.8');
    upstream.hold();
    const begun = version();
    await upstream.held(1);
    writeFileSync(join(directory, '.env'), `PREFECT_API_URL=${other.apiUrl}\n`);
    program.signal('SIGHUP');
    await program.logged('reloaded');
    expect(await version()).toBe('3.6.29');
    upstream.release();
    expect(await begun).toBe('3.8.8');
    await other.close();
  });

  it('keeps the old configuration where the new one is wrong, and says why', async () => {
    writeFileSync(join(directory, '.env'), `PREFECT_API_URL=${upstream.apiUrl}\nLIST_CEILING=none\n`);
    program.signal('SIGHUP');
    const [line] = await program.logged('reload failed: the configuration stays as it was');
    expect(line!['reason']).toContain('LIST_CEILING');
    expect(await version()).toBe('3.8.8');
  });
});

/** `script` makes a terminal. */
const hasTerminals = process.platform === 'linux' && spawnSync('script', ['--version']).status === 0;

describe.runIf(hasTerminals)('A terminal that is closed', () => {
  /** Starts a program at a terminal of its own. @returns what closes the terminal, with no word to the program */
  function atTerminal(file: string, env: Record<string, string>): () => void {
    const child = spawn('script', ['-qfc', `exec "${process.execPath}" "${file}"`, '/dev/null'], {
      cwd: directory,
      env: {
        PATH: process.env['PATH'],
        PREFECT_PROXY_API_PORT: '0',
        WEBHOOK_AUTO_REGISTER: 'false',
        RECONCILE_INTERVAL: '0',
        LOGDIR: directory,
        ...env,
      },
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    return () => child.kill('SIGKILL');
  }

  const log = () => {
    try {
      return readFileSync(join(directory, 'prefect-proxy.log'), 'utf8');
    } catch {
      return '';
    }
  };

  it.each(['1', '2'])('ends the service in order (%s workers)', async (WEB_CONCURRENCY) => {
    const close = atTerminal(service.file, { PREFECT_API_URL: upstream.apiUrl, WEB_CONCURRENCY });
    await expect.poll(log, { timeout: 40_000 }).toContain('"listening"');
    const pid = Number(/"pid":(\d+),"workers"/.exec(log())![1]);
    expect(startOf(pid)).toBeDefined();
    close();
    await expect.poll(() => startOf(pid), { timeout: 20_000 }).toBeUndefined();
    expect(log()).toContain('the terminal was closed');
    expect(log()).not.toContain('"reloaded"');
  });

  it('ends Prefect and its worker, too', async () => {
    mkdirSync(join(directory, 'flows'));
    writeFileSync(join(directory, 'flows', 'requirements-3.8.8.lock'), 'prefect==3.8.8\n');
    const prefect = join(directory, 'prefect.mjs');
    const source = readFileSync(new URL('fake-prefect.ts', import.meta.url), 'utf8');
    writeFileSync(prefect, transformSync(source, { loader: 'ts', format: 'esm' }).code);
    const run = `exec "${process.execPath}" "${prefect}" "$@"`;
    const python = fakePython(join(directory, 'bin'), { run });
    const parts = () => stackProcesses(join(directory, '.local'), new Map());
    const close = atTerminal(stack.file, {
      ROOT: directory,
      PYTHON: python.path,
      PREFECT_SERVER_PORT: '24300',
    });
    const isUp = () => readFileSync(join(directory, '.local', 'run.json'), 'utf8').includes('"url"');
    await expect.poll(() => parts().length === 2 && isUp(), { timeout: 40_000 }).toBe(true);
    close();
    await expect.poll(parts, { timeout: 20_000 }).toEqual([]);
    await expect.poll(log).toContain('the terminal was closed');
  });
});
