import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { Host } from '../support/host.js';
import { buildProgram, Program } from '../support/program.js';
import { startSlowUpstream, type SlowUpstream } from '../support/slow-upstream.js';

// Real processes: on a busy machine each takes seconds to start.
vi.setConfig({ testTimeout: 90_000 });

let built: Awaited<ReturnType<typeof buildProgram>>;
let upstream: SlowUpstream;
let directory: string;
let program: Program;
beforeAll(async () => {
  built = await buildProgram();
});
afterAll(() => built.remove());
beforeEach(async () => {
  upstream = await startSlowUpstream('3.8.8');
  directory = mkdtempSync(join(tmpdir(), 'prefect-proxy-'));
});
afterEach(async () => {
  upstream.release();
  await program.end();
  await upstream.close();
  rmSync(directory, { recursive: true });
});

async function start(workers: number, env: Record<string, string> = {}): Promise<string> {
  program = new Program({
    file: built.file,
    cwd: directory,
    env: { PREFECT_API_URL: upstream.apiUrl, WEB_CONCURRENCY: String(workers), DRAIN_DELAY: '0.3', ...env },
  });
  const [line] = await program.logged('listening');
  if (workers > 1) await program.logged('worker serves', workers);
  return String(line!['url']);
}

/** Asks once on a connection of its own. @returns the reply's first line, or what became of the connection */
function askAnew(url: string, path = '/healthz'): Promise<{ outcome: string; text: string }> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    let text = '';
    const socket = connect(Number(port), hostname);
    const settle = (fallback: string) => {
      socket.destroy();
      resolve({ outcome: text === '' ? fallback : text.slice(0, text.indexOf('\r\n')), text });
    };
    socket.setEncoding('utf8');
    socket.once('connect', () => socket.write(`GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`));
    socket.on('data', (part: string) => {
      text += part;
      if (text.endsWith('}')) settle('');
    });
    socket.once('end', () => {
      settle('closed');
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      settle(error.code ?? error.message);
    });
  });
}

function tally(outcomes: { outcome: string }[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { outcome } of outcomes) counts[outcome] = (counts[outcome] ?? 0) + 1;
  return counts;
}

describe.each([1, 2])('SIGTERM, with %i workers,', (workers) => {
  it('resets none of 240 connections that are opened around it', async () => {
    const url = await start(workers);
    const before = Array.from({ length: 120 }, () => askAnew(url));
    // In the next tick Node asks for them, and the system takes them without the service.
    await setImmediate();
    program.signal('SIGTERM');
    const after = Array.from({ length: 120 }, () => askAnew(url));
    const replies = await Promise.all([...before, ...after]);
    expect(tally(replies)).toEqual({ 'HTTP/1.1 200 OK': 240 });
    expect(await program.closed).toEqual([0, null]);
  });

  it('turns readiness off first, and goes on serving for DRAIN_DELAY, with connection: close', async () => {
    const url = await start(workers, { DRAIN_DELAY: '3', GRACEFUL_TIMEOUT: '5' });
    program.signal('SIGTERM');
    await expect
      .poll(async () => (await askAnew(url, '/readyz')).text, { interval: 20 })
      .toMatch(/about to end/);
    const reply = await askAnew(url, '/proxy/prefect/version');
    expect(reply.outcome).toBe('HTTP/1.1 200 OK');
    expect(reply.text.toLowerCase()).toContain('connection: close');
    expect((await askAnew(url)).outcome).toBe('HTTP/1.1 200 OK');
    expect(await program.closed).toEqual([0, null]);
  });

  it('answers 503 at GRACEFUL_TIMEOUT to what is in flight and to what waits for its turn', async () => {
    const url = await start(workers, {
      GRACEFUL_TIMEOUT: '1',
      DRAIN_DELAY: '0',
      MAX_REQUESTS_IN_FLIGHT: '1',
      REQUEST_QUEUE_TIMEOUT: '60',
    });
    upstream.hold();
    const hosts = Array.from({ length: workers * 2 }, () => new Host(url));
    const replies = hosts.map((host) => host.get('/proxy/prefect/version'));
    await upstream.held(workers);
    // Each worker has one in flight, and one that waits.
    await expect
      .poll(async () => (await metricsOf(url)).match(/^prefect_proxy_requests_queued (\d+)$/m)?.[1])
      .toBe(String(workers));
    program.signal('SIGTERM');
    for (const reply of await Promise.all(replies)) {
      expect(reply).toMatchObject({ status: 503, json: { code: 'shutting_down' } });
      expect(reply.headers['retry-after']).toBe('1');
    }
    await Promise.all(hosts.map((host) => host.close()));
    expect(await program.closed).toEqual([0, null]);
  });
});

async function metricsOf(url: string): Promise<string> {
  const host = new Host(url);
  const { text } = await host.get('/metrics');
  await host.close();
  return text;
}

describe('A worker that another one replaces', () => {
  /** Connections that are opened one after the other until `until` resolves. */
  async function knockUntil(url: string, until: Promise<unknown>): Promise<Record<string, number>> {
    let isOver = false;
    void until.finally(() => (isOver = true));
    const outcomes: { outcome: string }[] = [];
    const knock = async () => {
      while (!isOver) outcomes.push(await askAnew(url));
    };
    await Promise.all(Array.from({ length: 8 }, knock));
    return tally(outcomes);
  }

  it.each([
    ['SIGHUP', 'the primary', 2],
    ['SIGTTOU', 'the primary', 1],
    ['SIGTERM', 'the worker', 1],
  ] as const)('resets no new connection (%s to %s)', async (signal, receiver, ended) => {
    const url = await start(2);
    process.kill(receiver === 'the worker' ? program.workers()[0]! : program.pid, signal);
    const outcomes = await knockUntil(url, program.logged('worker ended', ended));
    expect(Object.keys(outcomes)).toEqual(['HTTP/1.1 200 OK']);
    expect(outcomes['HTTP/1.1 200 OK']).toBeGreaterThanOrEqual(8);
  });

  it('resets no new connection (MAX_REQUESTS)', async () => {
    const url = await start(2, { MAX_REQUESTS: '150', MAX_REQUESTS_JITTER: '50' });
    const outcomes = await knockUntil(url, program.logged('worker ended', 3));
    expect(Object.keys(outcomes)).toEqual(['HTTP/1.1 200 OK']);
  });

  it('stays ready for those who ask it: the service as a whole does', async () => {
    const url = await start(2);
    const probes = Array.from({ length: 4 }, () => new Host(url));
    const ask = async () =>
      (await Promise.all(probes.map((probe) => probe.get('/readyz')))).map(({ text }) => text);
    await ask();
    program.signal('SIGHUP');
    await program.logged('worker drains');
    // This upstream answers no probe: another reason stands there.
    expect((await ask()).join()).not.toContain('about to end');
    await Promise.all(probes.map((probe) => probe.close()));
  });
});
