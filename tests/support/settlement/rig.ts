import { z } from 'zod';
import { vi } from 'vitest';
import { loadConfig } from '../../../src/config.js';
import type { Logger, LogFields } from '../../../src/logger.js';
import type { Metrics } from '../../../src/metrics/metrics.js';
import { startSettling, type Settling } from '../../../src/settle.js';
import type { Telemetry } from '../../../src/telemetry/telemetry.js';
import type { LogLine } from '../facade.js';
import { startMockOrchestrator, type MockOptions, type MockOrchestrator } from '../mock/index.js';
import { Seed } from '../seed.js';
import { requestsUnderWay } from './requests-under-way.js';
import { startFakeHost, type FakeHost } from './fake-host.js';

export const KEY = 'notification-key';

export interface Instance extends Settling {
  lines: LogLine[];
}

/** Who looks on. */
export interface Watching {
  telemetry?: Telemetry;
  metrics?: Metrics;
}

export interface Rig {
  mock: MockOrchestrator;
  seed: Seed;
  host: FakeHost;
  /** Starts what settles, as one machine does. */
  start(env?: Record<string, string>, watching?: Watching): Instance;
  /** A run's labels, without `prefect-proxy.` before their names. */
  labels(id: string): Promise<Record<string, string>>;
  /** Resolves when a run has labels of these names. */
  labelled(id: string, ...names: string[]): Promise<Record<string, string>>;
  /** What the instances share. */
  variable(): Promise<{ position: string; open_since: string | null; leader: string } | undefined>;
  /** Lets time pass in steps of so many seconds, each with all that follows from it, until something holds. */
  passUntil(holds: () => unknown, stepSeconds: number): Promise<void>;
  close(): Promise<void>;
}

const realTimeout = globalThis.setTimeout;
const turn = () => new Promise<void>((resolve) => realTimeout(resolve, 1));

/** Time that `passUntil` moves: our own timers and the clock; sockets have theirs. It goes on by itself, too. */
export function bendTime(): void {
  vi.useFakeTimers({
    toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date', 'performance'],
    shouldAdvanceTime: true,
  });
}

/** A mock orchestrator, a host and what settles between them. */
export async function startRig(options: MockOptions = {}): Promise<Rig> {
  const mock = await startMockOrchestrator(options);
  const host = await startFakeHost();
  const seed = new Seed(mock.url);
  const instances: Instance[] = [];
  const labels = async (id: string) => {
    const run = labelled.parse(await seed.call('GET', `/flow_runs/${id}`));
    return Object.fromEntries(
      Object.entries(run.labels).map(([name, value]) => [name.replace('prefect-proxy.', ''), String(value)]),
    );
  };
  return {
    mock,
    host,
    seed,
    labels,
    start: (env = {}, watching = {}) => {
      const all = {
        PREFECT_API_URL: mock.url,
        PREFECT_API_TIMEOUT: '86400',
        PREFECT_API_RETRY_DELAY: '0',
        HOST_WEBHOOK_URL: host.url,
        HOST_WEBHOOK_KEY: KEY,
        ...env,
      };
      const instance = startInstance(all, watching);
      instances.push(instance);
      return instance;
    },
    labelled: async (id, ...names) => {
      for (;;) {
        const found = await labels(id);
        if (names.every((name) => found[name])) return found;
        await turn();
      }
    },
    variable: async () => {
      const answer = await seed.call('GET', VARIABLE_PATH).catch(() => undefined);
      return shared.safeParse(answer).data?.value;
    },
    passUntil: async (holds, stepSeconds) => {
      while (!(await holds())) {
        vi.advanceTimersByTime(stepSeconds * 1000);
        // All that follows: some turns of the event loop without a request to anyone.
        for (let quiet = 0; quiet < 5;) {
          await turn();
          quiet = requestsUnderWay() > 0 ? 0 : quiet + 1;
        }
      }
    },
    close: async () => {
      host.release(500);
      await Promise.all(instances.map((instance) => instance.close()));
      await host.close();
      await mock.close();
    },
  };
}

export const VARIABLE_PATH = '/variables/name/prefect_proxy_reconciler';
const shared = z.object({
  value: z.object({ position: z.string(), open_since: z.string().nullable(), leader: z.string() }),
});
const labelled = z.object({ labels: z.record(z.string(), z.unknown()) });

function startInstance(env: Record<string, string>, { telemetry, metrics }: Watching): Instance {
  const lines: LogLine[] = [];
  const write =
    (level: LogLine['level']) =>
    (message: string, fields: LogFields = {}) => {
      lines.push({ ...fields, level, message });
    };
  const logger: Logger = {
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    close: () => Promise.resolve(),
  };
  const config = loadConfig(env);
  const wanted = { ...config, PREFECT_API_URL: env['PREFECT_API_URL'] ?? '' };
  const settling = startSettling(wanted, logger, telemetry, metrics);
  let closed: Promise<void> | undefined;
  return { ...settling, lines, close: () => (closed ??= settling.close()) };
}
