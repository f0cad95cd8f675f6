import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { Host } from '../support/host.js';
import { buildProgram, Program } from '../support/program.js';
import { Samples } from '../support/prometheus.js';
import { startSlowUpstream, type SlowUpstream } from '../support/slow-upstream.js';

vi.setConfig({ testTimeout: 90_000 });

let built: Awaited<ReturnType<typeof buildProgram>>;
let upstream: SlowUpstream;
let program: Program;
const directory = mkdtempSync(join(tmpdir(), 'prefect-proxy-'));
beforeAll(async () => {
  built = await buildProgram();
  upstream = await startSlowUpstream('3.8.8');
});
afterEach(() => program.end());
afterAll(async () => {
  await upstream.close();
  await built.remove();
  rmSync(directory, { recursive: true });
});

const MESSAGE = 'too many open files: connections are lost; raise the limit (ulimit -n)';

describe.runIf(process.platform !== 'win32')('A service with too many open files', () => {
  it.each([1, 2])(
    'says so once a minute, counts it, and recovers by itself (%i workers)',
    async (workers) => {
      program = new Program({
        file: built.file,
        cwd: directory,
        // Less is not enough to load the packages.
        openFiles: 400,
        env: { PREFECT_API_URL: upstream.apiUrl, WEB_CONCURRENCY: String(workers) },
      });
      const url = String((await program.logged('listening'))[0]!['url']);
      if (workers > 1) await program.logged('worker serves', workers);
      const { hostname, port } = new URL(url);
      const crowd: Socket[] = [];
      const more = () => {
        for (let i = 0; i < 100; i += 1)
          crowd.push(connect(Number(port), hostname).on('error', () => undefined));
      };
      // Those that cannot be taken are closed, so that others must come.
      while (!program.lines.some(({ message }) => message === MESSAGE)) {
        more();
        await sleep(200);
      }
      await sleep(2_500);
      for (const socket of crowd) socket.destroy();
      const ask = async (path: string) => {
        const host = new Host(url);
        try {
          return (await host.get(path)).text;
        } catch {
          return 'no reply';
        } finally {
          await host.close();
        }
      };
      await expect.poll(() => ask('/proxy/prefect/version'), { timeout: 20_000 }).toBe('"3.8.8"');
      const samples = new Samples(await ask('/metrics'));
      const hits = ['accept', 'connect', 'probe'].map(
        (place) => samples.of('prefect_proxy_file_limit_hits_total', { place }) ?? 0,
      );
      expect(hits.reduce((sum, count) => sum + count)).toBeGreaterThan(0);
      const told = program.lines.filter(({ message }) => message === MESSAGE).map(({ pid }) => pid);
      expect(new Set(told).size).toBe(told.length);
      expect(program.complaints).toBe('');
      program.signal('SIGTERM');
      expect(await program.closed).toEqual([0, null]);
    },
  );
});
