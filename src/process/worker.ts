import type { Config } from '../config.js';
import { createLogger, type Logger } from '../logger.js';
import { Metrics } from '../metrics/metrics.js';
import { readLog } from '../metrics/serving.js';
import { serve, type Facade, type ServeOptions } from '../serve.js';
import { Standby } from '../services/settlement/standby.js';
import { leftOf, startTelemetry, type Telemetry } from '../telemetry/telemetry.js';
import { BEAT_MS, primaryMessage, type WorkerMessage } from './cluster/messages.js';
import { Scrape } from './cluster/scrape.js';

/** In milliseconds: a primary that is held up does not hold up the end of a worker. */
const LEAVE_MS = 1_000;

/**
 * Serves as one worker of a cluster until the primary says otherwise, and then ends the process.
 * @param readConfig reads the configuration of now: that of the primary may be older
 */
export async function runWorker(readConfig: () => Promise<Config>): Promise<void> {
  setInterval(() => {
    tell({ kind: 'beat' });
  }, BEAT_MS);
  // A terminal sends its signals to the whole group: what they mean is for the primary to say.
  for (const signal of ['SIGINT', 'SIGHUP', 'SIGTTIN', 'SIGTTOU'] as const) {
    process.on(signal, () => undefined);
  }
  process.on('SIGTERM', () => {
    tell({ kind: 'retire', reason: 'SIGTERM' });
  });
  try {
    const config = await readConfig();
    // To the primary, which writes for all: several processes cannot rotate one file.
    const logger = createLogger({ level: config.LOG_LEVEL, readable: false });
    const telemetry = await startTelemetry(config, logger);
    const metrics = new Metrics();
    metrics.addProcess();
    readLog(metrics, logger);
    const scrape = new Scrape(() => {
      tell({ kind: 'scrape' });
    });
    const standby = new Standby();
    const reporting = { telemetry, metrics, standby, scrape: () => scrape.text() };
    const facade = await startFacade(config, logger, reporting);
    process.on('message', (received) => {
      const { data: message } = primaryMessage.safeParse(received);
      if (message?.kind === 'drain') {
        void end({ config, facade, logger, telemetry, metrics }, message.replaced);
      } else if (message?.kind === 'count') void tellCounts(metrics);
      else if (message?.kind === 'scraped') scrape.take(message.text);
      else if (message?.kind === 'standby') standby.set(message.reason ?? undefined);
    });
    tell({ kind: 'ready', url: facade.url });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    tell({ kind: 'failed', reason }, () => process.exit(1));
  }
}

function startFacade(
  config: Config,
  logger: Logger,
  reporting: Pick<ServeOptions, 'telemetry' | 'metrics' | 'scrape' | 'standby'>,
): Promise<Facade> {
  const { PREFECT_API_URL, PREFECT_PROXY_API_PORT: port } = config;
  if (PREFECT_API_URL === undefined) throw new Error('PREFECT_API_URL: gone since the start');
  return serve({
    config: { ...config, PREFECT_API_URL },
    logger,
    port,
    hint: (hint) => {
      tell({ kind: 'hint', hint });
    },
    onRequest: countdown(config),
    learnVersion: true,
    ...reporting,
  });
}

/** Counts requests; at MAX_REQUESTS and some more it asks once to be replaced. */
function countdown({ MAX_REQUESTS: most, MAX_REQUESTS_JITTER: jitter }: Config): () => void {
  let left = most > 0 ? most + Math.round(Math.random() * jitter) : Infinity;
  return () => {
    left -= 1;
    if (left === 0) tell({ kind: 'retire', reason: 'MAX_REQUESTS' });
  };
}

interface Running {
  config: Config;
  facade: Facade;
  logger: Logger;
  telemetry: Telemetry;
  metrics: Metrics;
}

async function end(
  { config, facade, logger, telemetry, metrics }: Running,
  replaced: boolean,
): Promise<void> {
  const endedAt = performance.now();
  await facade.close({ replaced });
  await tellCounts(metrics);
  await telemetry.close(leftOf(config, endedAt));
  await logger.close();
  await leave();
  process.exit(0);
}

/**
 * Waits until the primary has heard that this process serves no more: a connection that was on its way to it until then
 * is handed back to the primary by Node, for another worker; it would be lost with this process.
 */
function leave(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, LEAVE_MS);
    process.on('message', (received) => {
      if (primaryMessage.safeParse(received).data?.kind === 'leave') resolve();
    });
    tell({ kind: 'leaving' });
  });
}

/** Resolves when it is sent. */
async function tellCounts(metrics: Metrics): Promise<void> {
  const counted = { kind: 'counted', metrics: await metrics.snapshot() } as const;
  await new Promise<void>((resolve) => {
    tell(counted, resolve);
  });
}

/** Never fails: with the primary gone nobody listens, and this process is about to end. */
function tell(message: WorkerMessage, done: () => void = () => undefined): void {
  if (process.send) process.send(message, undefined, {}, done);
  else done();
}
