import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { Host } from '../support/host.js';
import { buildProgram, Program } from '../support/program.js';
import { Samples } from '../support/prometheus.js';
import { startSlowUpstream, type SlowUpstream } from '../support/slow-upstream.js';

// Each test starts several processes: on a busy machine that takes its time.
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
let url: string;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'prefect-proxy-'));
  program = new Program({
    file: built.file,
    cwd: directory,
    env: { PREFECT_API_URL: upstream.apiUrl, WEB_CONCURRENCY: '2' },
  });
  url = await program.serves(2);
});
afterEach(async () => {
  await program.end();
  rmSync(directory, { recursive: true });
});

const REQUESTS = 12;
const VERSION = { method: 'GET', route: '/proxy/prefect/version', status: 200 };
const versions = (samples: Samples) => samples.of('prefect_proxy_requests_total', VERSION);

/** Over a connection of its own, so that workers take turns. */
async function get(path: string): Promise<string> {
  const host = new Host(url);
  try {
    const reply = await host.get(path);
    expect(reply.status).toBe(200);
    return reply.text;
  } finally {
    await host.close();
  }
}

const scrape = async () => new Samples(await get('/metrics'));
async function askBoth(): Promise<void> {
  for (let n = 0; n < REQUESTS; n += 1) await get('/proxy/prefect/version');
}

describe('GET /metrics of several processes', () => {
  it('adds up what all have counted, whichever answers', async () => {
    await askBoth();
    for (let n = 0; n < 4; n += 1) expect(versions(await scrape())).toBe(REQUESTS);
    const samples = await scrape();
    expect(samples.of('prefect_proxy_workers_answering')).toBe(2);
    expect(samples.of('prefect_proxy_workers_serving')).toBe(2);
    expect(samples.of('prefect_proxy_worker_starts_total')).toBe(2);
    const about = { method: 'GET', route: '/proxy/prefect/version' };
    expect(samples.of('prefect_proxy_request_duration_seconds_count', about)).toBe(REQUESTS);
    expect(samples.of('process_resident_memory_bytes')).toBeGreaterThan(0);
  });

  it('goes on with what a worker that is killed has counted', async () => {
    await askBoth();
    const before = await scrape();
    process.kill(program.workers()[0]!, 'SIGKILL');
    await program.logged('worker died');
    await program.logged('worker serves', 3);
    const after = await scrape();
    expect(versions(after)).toBe(REQUESTS);
    expect(after.of('prefect_proxy_worker_deaths_total')).toBe(1);
    expect(after.of('prefect_proxy_workers_answering')).toBe(2);
    for (const suffix of ['_total', '_count', '_bucket']) {
      const fallen = before
        .ending(suffix)
        .filter(([key, value]) => key.startsWith('prefect_proxy_') && after.at(key) < value);
      expect(fallen).toEqual([]);
    }
  });

  it('goes on with what workers that are replaced have counted', async () => {
    await askBoth();
    program.signal('SIGHUP');
    await program.logged('worker ended', 2);
    expect(versions(await scrape())).toBe(REQUESTS);
  });

  it('answers without a worker that hangs, and says so', async () => {
    await askBoth();
    await scrape();
    const hanging = program.workers()[0]!;
    process.kill(hanging, 'SIGSTOP');
    try {
      // One of two connections goes to the other one.
      const samples = await Promise.race([scrape(), scrape()]);
      expect(samples.of('prefect_proxy_workers_answering')).toBe(1);
      expect(samples.of('prefect_proxy_workers_serving')).toBe(2);
      expect(versions(samples)).toBe(REQUESTS);
    } finally {
      process.kill(hanging, 'SIGCONT');
    }
  });
});
