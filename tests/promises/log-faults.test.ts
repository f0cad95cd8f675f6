import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { freePort } from '../../src/process/local/ports.js';
import { Host } from '../support/host.js';
import { buildProgram, Program, type Line, type ProgramOptions } from '../support/program.js';
import { Samples } from '../support/prometheus.js';

// Real processes, some of them with thousands of requests.
vi.setConfig({ testTimeout: 120_000 });

let built: Awaited<ReturnType<typeof buildProgram>>;
beforeAll(async () => {
  built = await buildProgram();
});
afterAll(() => built.remove());

let directory: string;
let program: Program;
let host: Host;
const logFile = () => join(directory, 'prefect-proxy.log');

/** Starts the service, wherever its log lines go, and waits until it serves. */
async function serve(workers: string, options: Partial<ProgramOptions> = {}): Promise<void> {
  const port = await freePort(20_000 + Math.floor(Math.random() * 20_000));
  program = new Program({
    file: built.file,
    cwd: directory,
    ...options,
    env: {
      PREFECT_API_URL: 'http://127.0.0.1:1/api',
      PREFECT_PROXY_API_PORT: String(port),
      WEB_CONCURRENCY: workers,
      ...options.env,
    },
  });
  host = new Host(`http://127.0.0.1:${port}`);
  await expect.poll(isServed, { timeout: 30_000 }).toBe(true);
}

const isServed = () =>
  host.get('/healthz').then(
    ({ status }) => status === 200,
    () => false,
  );

/** Requests whose log lines are long: some 400 bytes each. */
async function manyRequests(count: number): Promise<void> {
  const headers = { 'x-ddp-org': 'o'.repeat(128), 'x-request-id': 'r'.repeat(128) };
  for (let sent = 0; sent < count; sent += 100) {
    const replies = await Promise.all(Array.from({ length: 100 }, () => host.get('/healthz', { headers })));
    expect(replies.every(({ status }) => status === 200)).toBe(true);
  }
}

const inFile = () =>
  readFileSync(logFile(), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);

async function endsInOrder(): Promise<void> {
  program.signal('SIGTERM');
  expect(await program.closed).toEqual([0, null]);
}

describe.each(['1', '2'])('A log that cannot be written, with %s workers,', (workers) => {
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'prefect-proxy-'));
  });
  afterEach(async () => {
    await host.close();
    await program.end();
    rmSync(directory, { recursive: true });
  });

  it.runIf(process.platform === 'linux')('does not end the service: stdout on a full disk', async () => {
    const full = openSync('/dev/full', 'w');
    await serve(workers, { stdout: full, env: { LOGDIR: directory } });
    closeSync(full);
    await manyRequests(200);
    await endsInOrder();
    const lines = inFile();
    expect(lines.filter(({ message }) => message === 'request').length).toBeGreaterThan(200);
    expect(lines).toContainEqual(
      expect.objectContaining({ message: 'log lines cannot be written', place: 'console', reason: 'ENOSPC' }),
    );
  });

  it('does not end the service: the reader of stdout and stderr has left', async () => {
    await serve(workers, { env: { LOGDIR: directory } });
    program.closePipe('stdout');
    program.closePipe('stderr');
    await manyRequests(200);
    await endsInOrder();
    expect(inFile()).toContainEqual(
      expect.objectContaining({ message: 'log lines cannot be written', place: 'console', reason: 'EPIPE' }),
    );
  });

  it('costs bounded memory, and its gap is reported: the reader of stdout reads nothing for a while', async () => {
    await serve(workers, { isUnread: true });
    await manyRequests(16_000);
    const dropped = await droppedLines('console');
    expect(dropped).toBeGreaterThan(0);
    program.readOutput();
    const [reported] = await program.logged('log lines were dropped');
    expect(reported).toMatchObject({ level: 'error', place: 'console', reason: 'slow' });
    expect(reported!['lines']).toBeGreaterThanOrEqual(dropped);
    await manyRequests(100);
    await endsInOrder();
  });

  it.runIf(process.platform === 'linux')(
    'silences no other place, and comes back by itself: LOGDIR on a full disk',
    async () => {
      symlinkSync('/dev/full', logFile());
      await serve(workers, { env: { LOGDIR: directory } });
      const [line] = await program.logged('log lines cannot be written');
      expect(line).toMatchObject({ level: 'error', place: 'file', reason: 'ENOSPC' });
      await manyRequests(200);
      await program.logged('request', 200);
      // The disk has room again.
      unlinkSync(logFile());
      writeFileSync(logFile(), '');
      await program.logged('log lines can be written again');
      await manyRequests(100);
      await endsInOrder();
      // What waited meanwhile is there too.
      expect(inFile()).toEqual(program.lines);
    },
  );
});

/** Counted where it is scraped. */
async function droppedLines(place: string): Promise<number> {
  const { text } = await host.get('/metrics');
  return new Samples(text).of('prefect_proxy_log_lines_dropped_total', { place })!;
}

describe('A command', () => {
  it('whose reader leaves ends quietly, as one that SIGPIPE ends', async () => {
    const command = spawn(process.execPath, [built.file, 'openapi'], { stdio: ['ignore', 'pipe', 'pipe'] });
    let complaints = '';
    command.stderr.on('data', (part: Buffer) => (complaints += part.toString()));
    command.stdout.once('data', () => command.stdout.destroy());
    expect(await once(command, 'close')).toEqual([141, null]);
    expect(complaints).toBe('');
  });

  it.runIf(process.platform === 'linux')('whose output cannot be written says why, and fails', async () => {
    const full = openSync('/dev/full', 'w');
    const command = spawn(process.execPath, [built.file, 'openapi'], { stdio: ['ignore', full, 'pipe'] });
    closeSync(full);
    let complaints = '';
    command.stderr!.on('data', (part: Buffer) => (complaints += part.toString()));
    expect(await once(command, 'close')).toEqual([1, null]);
    expect(complaints).toMatch(/^the output cannot be written: ENOSPC/);
  });
});
