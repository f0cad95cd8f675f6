import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { buildProgram, Program } from '../support/program.js';

vi.setConfig({ testTimeout: 60_000 });

/** Colours, clears, reorders and ends lines. */
const HOSTILE = 'a\u009b31m\u001b[2J\u202eb\u2028c\u0085\r\nd\ud83d';
const UNSAFE = /[\p{Cs}\p{Bidi_Control}\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029]/u;
const run = promisify(execFile);

type Built = Awaited<ReturnType<typeof buildProgram>>;
let service: Built;
let logging: Built;
beforeAll(async () => {
  [service, logging] = await Promise.all([buildProgram(), buildProgram('tests/support/log-program.ts')]);
});
afterAll(() => Promise.all([service.remove(), logging.remove()]));

let directory: string;
let program: Program | undefined;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'prefect-proxy-'));
});
afterEach(async () => {
  await program?.end();
  program = undefined;
  rmSync(directory, { recursive: true });
});

describe('Text from outside', () => {
  it.each([
    ['JSON lines', 'false', 5],
    ['lines for people', 'true', 5],
  ])(
    'reaches no console unescaped through %s, relayed lines, errors and progress',
    async (_what, READABLE, lines) => {
      // No half of a pair: an argument cannot hold one.
      const text = HOSTILE.slice(0, -1);
      const env = { PATH: process.env['PATH'], READABLE };
      const { stdout, stderr } = await run(process.execPath, [logging.file, text], { env });
      expect(stdout + stderr).not.toMatch(UNSAFE);
      expect(stdout).toContain('\\u009b31m');
      expect(stderr).toContain('\\u009b31m');
      // One for each way; what was relayed raw had one line end.
      expect(stdout.trimEnd().split('\n')).toHaveLength(lines);
    },
  );

  it.each(['1', '2'])(
    'reaches no console unescaped through the log line of a request (%s workers)',
    async (WEB_CONCURRENCY) => {
      program = new Program({
        file: service.file,
        cwd: directory,
        env: { PREFECT_API_URL: 'http://127.0.0.1:1/api', WEB_CONCURRENCY },
      });
      const [listening] = await program.logged('listening');
      // As bytes, which Node reads as Latin-1: C1 is what comes of many a UTF-8 text, too.
      const org = 'acme\u009b31m';
      request(`${String(listening!['url'])}/healthz`, { headers: { 'x-ddp-org': org } })
        .on('response', (reply) => reply.resume())
        .end();
      const [line] = await program.logged('request');
      expect(line!['org']).toBe(org);
      expect(program.output).not.toMatch(UNSAFE);
      expect(program.output).toContain('acme\\u009b31m');
    },
  );

  it.each(['1', '2'])(
    'reaches no console unescaped through an uncaught error (%s workers)',
    async (WEB_CONCURRENCY) => {
      const crash = join(directory, 'crash.mjs');
      const text = JSON.stringify(HOSTILE);
      writeFileSync(
        crash,
        `import cluster from 'node:cluster';
      if (cluster.isWorker || process.env.WEB_CONCURRENCY === '1')
        setTimeout(() => { throw new Error(${text}); }, 500);`,
      );
      program = new Program({
        file: service.file,
        cwd: directory,
        env: {
          PREFECT_API_URL: 'http://127.0.0.1:1/api',
          WEB_CONCURRENCY,
          NODE_OPTIONS: `--import ${crash}`,
        },
      });
      await expect.poll(() => program!.complaints, { timeout: 30_000 }).toContain('\\u009b31m');
      expect(program.complaints).not.toMatch(UNSAFE);
      expect(program.complaints).toMatch(/^Uncaught Error: /m);
      if (WEB_CONCURRENCY === '1') expect(await program.closed).toEqual([1, null]);
    },
  );

  it('reaches no console unescaped through the error of a command', async () => {
    const failed = run(process.execPath, [service.file, `--${HOSTILE.slice(0, -1)}`]);
    await expect(failed).rejects.toMatchObject({
      stderr: expect.stringContaining('\\u009b31m') as string,
    });
    await expect(failed).rejects.not.toMatchObject({ stderr: expect.stringMatching(UNSAFE) as string });
  });
});
