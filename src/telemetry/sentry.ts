import * as Sentry from '@sentry/node';
import type { Config } from '../config.js';
import { AppError } from '../errors.js';
import type { FinishedRequest } from '../http/served.js';
import type { LogFields, Logger } from '../logger.js';
import { UpstreamError } from '../prefect/errors.js';
import { VERSION } from '../version.js';
import { perMinute } from './per-minute.js';
import { scrubbedError, scrubbedTransaction } from './scrub.js';
import type { Begin, Outcome, Span, SpanAbout } from './tracing.js';

type Integration = Parameters<typeof Sentry.addIntegration>[0];

export interface ErrorReports {
  /** Reports a request that met an error of ours. Outages of the orchestrator are expected, and are none. */
  observe: (request: FinishedRequest) => void;
  /** Reports a line of the log that somebody has to act on. */
  alarm: (message: string, fields?: LogFields) => void;
  /** Traces, where SENTRY_TSR asks for them. */
  begin: Begin | undefined;
  /** Sends what is to be sent, for so long at most, in milliseconds. */
  close: (milliseconds: number) => Promise<void>;
}

/** Events of one kind: the first few say it all, and a storm of them must cost nothing. */
const EVENTS_A_MINUTE = 5;
/** In milliseconds; a process that ends by an error ends so much later at most. */
const LAST_WORDS_MS = 2_000;

/**
 * Reports errors to Sentry: nothing is patched or gathered, and only what `scrub.ts` lets through is sent.
 * Also takes uncaught exceptions; they end the process as they do without it, once they are sent.
 * @param dsn a valid one
 */
export async function startSentry(dsn: string, config: Config, logger: Logger): Promise<ErrorReports> {
  const { SENTRY_TSR: traceRate, SENTRY_PSR: profileRate, SENTRY_ENVIRONMENT: environment } = config;
  const profiling = profileRate > 0 ? await loadProfiling(logger) : [];
  Sentry.initWithoutDefaultIntegrations({
    dsn,
    environment,
    release: `prefect-proxy@${VERSION}`,
    integrations: [Sentry.linkedErrorsIntegration(), Sentry.contextLinesIntegration(), ...profiling],
    tracesSampleRate: traceRate,
    profileSessionSampleRate: profileRate,
    profileLifecycle: 'trace',
    // One event a trace, which can be scrubbed as a whole.
    traceLifecycle: 'static',
    beforeSend: scrubbedError,
    beforeSendTransaction: scrubbedTransaction,
    maxBreadcrumbs: 0,
    sendClientReports: false,
    spotlight: false,
    enableRuntimeChannelInjection: false,
    enableOpenTelemetrySetup: false,
  });
  const mayReport = perMinute(EVENTS_A_MINUTE);
  const forget = onUncaught();
  return {
    observe: (request) => {
      const error = unexpected(request.error);
      const where = `${request.method} ${request.route}`;
      if (error === undefined || !mayReport(where)) return;
      Sentry.captureException(error, (scope) => {
        const { traceId: trace_id, spanId: span_id } = request.span ?? {};
        if (trace_id && span_id) scope.setContext('trace', { trace_id, span_id });
        return scope.setTransactionName(where).setTags({
          request_id: request.requestId,
          route: request.route,
          method: request.method,
          trace_id,
        });
      });
    },
    alarm: (message, fields = {}) => {
      if (mayReport(message)) Sentry.captureEvent({ message, level: 'error', extra: { ...fields } });
    },
    begin: traceRate > 0 ? begin : undefined,
    close: async (milliseconds) => {
      forget();
      await Sentry.close(milliseconds);
    },
  };
}

/** What is wrong in this service itself; undefined where a caller or the orchestrator is to blame. */
function unexpected(thrown: unknown): Error | undefined {
  const error = thrown instanceof AppError && thrown.code === 'internal' ? (thrown.cause ?? thrown) : thrown;
  if (error === undefined || error instanceof UpstreamError) return undefined;
  if (error instanceof AppError && error.code !== 'internal') return undefined;
  return error instanceof Error ? error : new Error(`thrown: ${typeof error}`);
}

/** @returns what forgets them again */
function onUncaught(): () => void {
  let isEnding = false;
  const take = (error: Error) => {
    if (isEnding) return;
    isEnding = true;
    Sentry.captureException(error, { level: 'fatal' });
    void Sentry.close(LAST_WORDS_MS).then(() => {
      process.off('uncaughtException', take);
      // As if nobody had listened: Node writes the error and ends.
      setImmediate(() => {
        throw error;
      });
    });
  };
  process.on('uncaughtException', take);
  return () => {
    process.off('uncaughtException', take);
  };
}

/** The profiler has a native part, which is not there for every platform. */
async function loadProfiling(logger: Logger): Promise<Integration[]> {
  try {
    const { nodeProfilingIntegration } = await import('@sentry/profiling-node');
    return [nodeProfilingIntegration()];
  } catch (error) {
    logger.warn('profiles are off: the profiler cannot be loaded', {
      error: error instanceof Error ? error.name : undefined,
    });
    return [];
  }
}

/** The caller's trace goes on; whether it is sent is for SENTRY_TSR to say. */
const begin: Begin = (about, { traceparent }) => {
  const [, traceId, spanId] = /^\w{2}-([0-9a-f]{32})-([0-9a-f]{16})-/.exec(traceparent ?? '') ?? [];
  const sentryTrace = traceId && spanId ? `${traceId}-${spanId}` : undefined;
  return Sentry.continueTrace({ sentryTrace, baggage: undefined }, () => new SentrySpan(about, null));
};

class SentrySpan implements Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly headers: Record<string, string>;
  private readonly span: Sentry.Span;

  constructor({ name, kind, attributes = {} }: SpanAbout, parentSpan: Sentry.Span | null) {
    const op = kind === 'internal' ? 'settlement' : `http.${kind}`;
    this.span = Sentry.startInactiveSpan({
      name,
      op,
      attributes,
      ...(parentSpan && { parentSpan }),
    });
    const { traceId, spanId, traceFlags } = this.span.spanContext();
    this.traceId = traceId;
    this.spanId = spanId;
    this.headers = { traceparent: `00-${traceId}-${spanId}-0${traceFlags}` };
  }

  child(about: SpanAbout): Span {
    return new SentrySpan(about, this.span);
  }

  end({ status, failure }: Outcome = {}): void {
    if (status !== undefined) Sentry.setHttpStatus(this.span, status);
    if (failure !== undefined)
      this.span.setStatus({ code: 2, message: 'internal_error' }).setAttribute('error.type', failure);
    this.span.end();
  }
}
