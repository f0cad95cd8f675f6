import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { startCollector, type Collector } from '../support/collector.js';
import { Host } from '../support/host.js';
import { startIngest, type Ingest } from '../support/ingest.js';
import { buildProgram, Program } from '../support/program.js';
import { startSlowUpstream, type SlowUpstream } from '../support/slow-upstream.js';

// Several processes are started: on a busy machine that takes its time.
vi.setConfig({ testTimeout: 60_000 });

let built: Awaited<ReturnType<typeof buildProgram>>;
let upstream: SlowUpstream;
let ingest: Ingest;
let collector: Collector;
const directory = mkdtempSync(join(tmpdir(), 'prefect-proxy-'));
beforeAll(async () => {
  built = await buildProgram();
  upstream = await startSlowUpstream('3.8.8');
  ingest = await startIngest();
  collector = await startCollector();
});
afterAll(async () => {
  await Promise.all([upstream.close(), ingest.close(), collector.close()]);
  await built.remove();
  rmSync(directory, { recursive: true });
});

it('each worker reports its errors, and has sent all its spans when it ends by SIGTERM', async () => {
  const program = new Program({
    file: built.file,
    cwd: directory,
    env: {
      PREFECT_API_URL: upstream.apiUrl,
      WEB_CONCURRENCY: '2',
      SENTRY_DSN: ingest.dsn,
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    },
  });
  const url = await program.serves(2);
  const traces = Array.from({ length: 8 }, (_, n) => String(n + 1).repeat(32));
  for (const trace of traces) {
    // Over a connection of its own, so that workers take turns.
    const host = new Host(url);
    const headers = { traceparent: `00-${trace}-${'1'.repeat(16)}-01` };
    expect(await host.get('/proxy/prefect/version', { headers })).toMatchObject({ status: 200 });
    await host.close();
  }
  const host = new Host(url);
  expect(await host.get('/sentry-debug')).toMatchObject({ status: 500 });
  await host.close();
  const [event] = await ingest.got('event');
  expect(JSON.stringify(event)).toContain('/sentry-debug');
  program.signal('SIGTERM');
  expect(await program.closed).toEqual([0, null]);
  const requests = collector.spans.filter(({ name }) => name === 'GET /proxy/prefect/version');
  expect(requests.map(({ traceId }) => traceId).sort()).toEqual(traces);
});
