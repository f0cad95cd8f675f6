import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config.js';
import type { FinishedRequest } from '../http/served.js';
import type { Logger } from '../logger.js';
import type { ErrorReports } from './sentry.js';
import { both, Tracing, type Begin } from './tracing.js';

/** Traces and error reports of this process; off, it is empty. */
export interface Telemetry {
  tracing?: Tracing | undefined;
  /** Is to be told of each request that is over. */
  observe?: ((request: FinishedRequest) => void) | undefined;
  /** The logger, whose errors are reported too. */
  alarming: <L extends Logger>(logger: L) => L;
  /** Sends what is to be sent, for so long at most, in milliseconds. Never fails. */
  close: (milliseconds: number) => Promise<void>;
}

/** A receiver that does not answer does not hold up an end for longer. */
const LONGEST_FLUSH_MS = 5_000;
/** Below what the primary waits for a worker beyond GRACEFUL_TIMEOUT. */
const LAST_MOMENT_MS = 500;

/** What neither traces nor reports. */
export const NO_TELEMETRY: Telemetry = { alarming: (logger) => logger, close: () => Promise.resolve() };

/** Starts what the configuration asks for, once a process; the packages of what it does not ask for are not loaded. */
export async function startTelemetry(config: Config, logger: Logger): Promise<Telemetry> {
  const { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, SENTRY_DSN: dsn } = config;
  if (endpoint === undefined && dsn === undefined) return NO_TELEMETRY;
  const [otel, sentry] = await Promise.all([
    endpoint === undefined
      ? undefined
      : import('./otel.js').then(({ startOtel }) => startOtel(endpoint, logger)),
    dsn === undefined
      ? undefined
      : import('./sentry.js').then(({ startSentry }) => startSentry(dsn, config, logger)),
  ]);
  const begin = combined(otel?.begin, sentry?.begin);
  return {
    tracing: begin && new Tracing(begin),
    observe: sentry?.observe,
    alarming: (plain) => (sentry ? withAlarms(plain, sentry) : plain),
    close: async (milliseconds) => {
      const left = Math.min(milliseconds, LONGEST_FLUSH_MS);
      const flushed = Promise.all([otel?.close(), sentry?.close(left)]);
      await Promise.race([flushed, sleep(left, undefined, { ref: false })]);
    },
  };
}

/**
 * What DRAIN_DELAY and GRACEFUL_TIMEOUT leave for `close`, in milliseconds: a moment, even where requests took all of it.
 * @param endedAt when the end began, by `performance.now()`
 */
export function leftOf(config: Config, endedAt: number): number {
  const seconds = config.DRAIN_DELAY + config.GRACEFUL_TIMEOUT;
  return Math.max(seconds * 1000 - (performance.now() - endedAt), LAST_MOMENT_MS);
}

function combined(first: Begin | undefined, second: Begin | undefined): Begin | undefined {
  return first && second ? both(first, second) : (first ?? second);
}

function withAlarms<L extends Logger>(logger: L, { alarm }: ErrorReports): L {
  return {
    ...logger,
    error: (message, fields) => {
      logger.error(message, fields);
      alarm(message, fields);
    },
  };
}
