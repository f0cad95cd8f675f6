import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { startOf } from '../../src/process/local/processes.js';
import { Host } from '../support/host.js';
import { Load } from '../support/load.js';
import { buildProgram, Program } from '../support/program.js';
import { startSlowUpstream, type SlowUpstream } from '../support/slow-upstream.js';

// Each test starts several processes, some of them again and again: on a busy machine that takes its time.
vi.setConfig({ testTimeout: 60_000 });

let built: Awaited<ReturnType<typeof buildProgram>>;
let upstream: SlowUpstream;
beforeAll(async () => {
  built = await buildProgram();
  upstream = await startSlowUpstream('3.8.8');
});
afterAll(async () => {
  await upstream.close();
  await built.remove();
});

let directory: string;
let program: Program;
let load: Load | undefined;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'prefect-proxy-'));
});
afterEach(async () => {
  const stopped = load?.stop();
  load = undefined;
  await program.end();
  await stopped;
  rmSync(directory, { recursive: true });
});

function start(env: Record<string, string | undefined> = {}): Program {
  program = new Program({
    file: built.file,
    cwd: directory,
    env: { PREFECT_API_URL: upstream.apiUrl, WEB_CONCURRENCY: '2', ...env },
  });
  return program;
}

/** Two workers under load. */
async function startLoaded(env: Record<string, string> = {}): Promise<{ url: string; load: Load }> {
  const url = await start(env).serves(2);
  load = new Load(url);
  await load.more(50);
  return { url, load };
}

const ask = async (url: string) => {
  const host = new Host(url);
  const reply = await host.get('/proxy/prefect/version');
  await host.close();
  return reply.json;
};

describe('A worker', () => {
  it('that is killed fails no more than what it had in flight, and a new one serves', async () => {
    const { url, load } = await startLoaded();
    const [killed] = program.workers();
    process.kill(killed!, 'SIGKILL');
    const [died] = await program.logged('worker died');
    expect(died).toMatchObject({ pid: killed, how: 'ended by SIGKILL' });
    await program.logged('worker serves', 3);
    await load.more(100);
    await load.stop();
    expect(load.failures.length).toBeLessThanOrEqual(12);
    expect(program.workers()).toHaveLength(2);
    expect(await ask(url)).toBe('3.8.8');
  });

  it('that hangs is killed and replaced; the others go on serving', async () => {
    const url = await start({ WORKER_TIMEOUT: '2' }).serves(2);
    const [hung] = program.workers();
    // As an event loop that does not turn: nothing is read, nothing is said.
    process.kill(hung!, 'SIGSTOP');
    const [line] = await program.logged('worker hangs: killed');
    expect(line).toMatchObject({ pid: hung });
    await program.logged('worker serves', 3);
    expect(await ask(url)).toBe('3.8.8');
    expect(program.workers()).not.toContain(hung);
  });

  it('that has served its number of requests is replaced, with no failed request', async () => {
    const { load } = await startLoaded({ MAX_REQUESTS: '200', MAX_REQUESTS_JITTER: '50' });
    await program.logged('worker ended', 2);
    await load.stop();
    expect(load.failures).toEqual([]);
    const reasons = program.lines.filter(({ message }) => message === 'worker is to be replaced');
    expect(new Set(reasons.map(({ reason }) => reason))).toEqual(new Set(['MAX_REQUESTS']));
  });

  it('that is sent SIGTERM is replaced first, and then ends', async () => {
    const { load } = await startLoaded();
    const [oldest] = program.workers();
    process.kill(oldest!, 'SIGTERM');
    const [ended] = await program.logged('worker ended');
    await load.stop();
    expect(ended).toMatchObject({ pid: oldest, how: 'ended with code 0' });
    expect(program.workers()).toHaveLength(2);
    expect(load.failures).toEqual([]);
  });

  it('ends with a primary that is killed', async () => {
    await start().serves(2);
    const workers = program.workers();
    program.signal('SIGKILL');
    await program.closed;
    await expect
      .poll(() => workers.filter((pid) => startOf(pid) !== undefined), { timeout: 10_000 })
      .toEqual([]);
  });
});

describe('SIGHUP', () => {
  it('replaces all workers, with no failed request', async () => {
    const { load } = await startLoaded();
    const before = program.workers();
    program.signal('SIGHUP');
    const ended = await program.logged('worker ended', 2);
    await load.more(50);
    await load.stop();
    expect(load.failures).toEqual([]);
    expect(ended.map(({ pid }) => pid).sort()).toEqual([...before].sort());
    expect(program.workers()).toHaveLength(2);
    const order = program.lines.map(({ message }) => message);
    expect(order.lastIndexOf('worker serves')).toBeLessThan(order.lastIndexOf('worker drains'));
  });

  it('makes new workers read .env again', async () => {
    const other = await startSlowUpstream('3.6.29');
    const file = join(directory, '.env');
    writeFileSync(file, `PREFECT_API_URL=${upstream.apiUrl}\n`);
    const url = await start({ PREFECT_API_URL: undefined }).serves(2);
    expect(await ask(url)).toBe('3.8.8');
    writeFileSync(file, `PREFECT_API_URL=${other.apiUrl}\n`);
    program.signal('SIGHUP');
    await program.logged('worker ended', 2);
    expect(await ask(url)).toBe('3.6.29');
    program.signal('SIGTERM');
    await program.closed;
    await other.close();
  });

  it('keeps the old workers where new ones cannot start, and tries again', async () => {
    const file = join(directory, '.env');
    const url = await start().serves(2);
    const before = program.workers();
    writeFileSync(file, 'LIST_CEILING=none\n');
    program.signal('SIGHUP');
    const failed = await program.logged('worker did not start', 2);
    expect(failed[0]!['how']).toContain('LIST_CEILING');
    expect(program.workers()).toEqual(before);
    expect(await ask(url)).toBe('3.8.8');
    writeFileSync(file, '');
    await program.logged('worker ended', 2);
    expect(await ask(url)).toBe('3.8.8');
  });
});

describe('SIGTERM', () => {
  it('finishes what is in flight, and one more request on each connection; exit 0', async () => {
    const { load } = await startLoaded();
    load.keepOnlyOldConnections();
    program.signal('SIGTERM');
    await load.ended();
    expect(load.failures).toEqual([]);
    expect(await program.closed).toEqual([0, null]);
  });

  it.each(['1', '2'])('waits for slow replies (%s processes)', async (WEB_CONCURRENCY) => {
    const slow = await startSlowUpstream('3.8.8');
    start({ PREFECT_API_URL: slow.apiUrl, WEB_CONCURRENCY });
    const url = String((await program.logged('listening'))[0]!['url']);
    slow.hold();
    const replies = [ask(url), ask(url), ask(url)];
    await slow.held(3);
    program.signal('SIGTERM');
    // Refused; or taken by the primary and handed to nobody, while every worker is ending.
    const isServed = () =>
      fetch(`${url}/healthz`, { signal: AbortSignal.timeout(1_000) }).then(
        () => true,
        () => false,
      );
    await expect.poll(isServed, { interval: 10, timeout: 15_000 }).toBe(false);
    slow.release();
    expect(await Promise.all(replies)).toEqual(['3.8.8', '3.8.8', '3.8.8']);
    expect(await program.closed).toEqual([0, null]);
    await slow.close();
  });

  it.each(['1', '2'])(
    'answers 503 to what takes longer than GRACEFUL_TIMEOUT (%s processes)',
    async (WEB_CONCURRENCY) => {
      const slow = await startSlowUpstream('3.8.8');
      start({ PREFECT_API_URL: slow.apiUrl, WEB_CONCURRENCY, GRACEFUL_TIMEOUT: '0.3' });
      const url = String((await program.logged('listening'))[0]!['url']);
      slow.hold();
      const cut = ask(url);
      await slow.held(1);
      program.signal('SIGINT');
      expect(await cut).toMatchObject({ code: 'shutting_down' });
      expect(await program.closed).toEqual([0, null]);
      expect(program.lines.find(({ message }) => message.startsWith('requests answered 503'))).toMatchObject({
        requests: 1,
      });
      await slow.close();
    },
  );
});

describe('SIGTTIN and SIGTTOU', () => {
  it('make one more and one fewer, but one at least', async () => {
    const url = await start().serves(2);
    const [first, second] = program.workers();
    program.signal('SIGTTIN');
    await program.logged('worker serves', 3);
    expect(program.workers()).toHaveLength(3);
    program.signal('SIGTTOU');
    await program.logged('worker ended', 1);
    program.signal('SIGTTOU');
    const ended = await program.logged('worker ended', 2);
    // The oldest go.
    expect(ended.map(({ pid }) => pid)).toEqual([first, second]);
    program.signal('SIGTTOU');
    await program.logged('number of workers', 4);
    expect(program.workers()).toHaveLength(1);
    expect(await ask(url)).toBe('3.8.8');
  });
});

describe('A start', () => {
  it('is given up where every worker crashes, and says how', async () => {
    const crash = join(directory, 'crash.mjs');
    writeFileSync(crash, 'import cluster from "node:cluster";\nif (cluster.isWorker) process.exit(7);\n');
    start({ NODE_OPTIONS: `--import ${crash}` });
    expect(await program.closed).toEqual([1, null]);
    expect(program.complaints).toContain('no worker comes up: ended with code 7');
    expect(program.lines.filter(({ message }) => message === 'worker did not start')).toHaveLength(5);
  });

  it('is given up at once where a worker says why it cannot start', async () => {
    const url = await start().serves(2);
    const second = new Program({
      file: built.file,
      args: ['serve', '--bind', new URL(url).host, '--workers', '3'],
      cwd: directory,
      env: { PREFECT_API_URL: upstream.apiUrl },
    });
    expect(await second.closed).toEqual([1, null]);
    expect(second.complaints).toMatch(/no worker comes up: .*EADDRINUSE/);
    expect(second.lines.filter(({ message }) => message === 'worker starts')).toHaveLength(1);
    expect(await ask(url)).toBe('3.8.8');
  });

  it('can be ended by SIGTERM', async () => {
    start();
    await program.logged('worker starts');
    program.signal('SIGTERM');
    expect(await program.closed).toEqual([0, null]);
  });

  it('with one worker is one process', async () => {
    start({ WEB_CONCURRENCY: '1' });
    const [line] = await program.logged('listening');
    expect(line).toMatchObject({ pid: program.pid });
    expect(await ask(String(line!['url']))).toBe('3.8.8');
    expect(program.lines.filter(({ message }) => message.startsWith('worker'))).toEqual([]);
  });
});

describe('LOGDIR', () => {
  it('has each line of each worker, whole', async () => {
    const url = await start({ LOGDIR: directory }).serves(2);
    const host = new Host(url);
    const replies = await Promise.all(
      Array.from({ length: 500 }, (_, i) => host.get('/healthz', { headers: { 'x-request-id': `r${i}` } })),
    );
    expect(replies.every(({ status }) => status === 200)).toBe(true);
    await host.close();
    program.signal('SIGTERM');
    await program.closed;
    const lines = readFileSync(join(directory, 'prefect-proxy.log'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { request_id?: string });
    const ids = new Set(lines.flatMap(({ request_id: id }) => id ?? []));
    expect(ids.size).toBe(500);
    expect(lines).toHaveLength(program.lines.length);
  });
});
