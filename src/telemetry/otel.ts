import {
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Context,
  type TextMapGetter,
  type Tracer,
} from '@opentelemetry/api';
import { ExportResultCode, W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor, type SpanExporter } from '@opentelemetry/sdk-trace-base';
import type { Logger } from '../logger.js';
import { VERSION } from '../version.js';
import type { Begin, Outcome, Span, SpanAbout, TraceHeaders } from './tracing.js';

const NAME = 'prefect-proxy';
const COMPLAIN_EVERY_MS = 60_000;
const KINDS = { server: SpanKind.SERVER, client: SpanKind.CLIENT, internal: SpanKind.INTERNAL };
const propagator = new W3CTraceContextPropagator();

/**
 * Sends spans to an OpenTelemetry collector, in batches beside the requests. Nothing global is set and nothing patched.
 * The SDK reads the other variables itself: OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER(_ARG),
 * OTEL_EXPORTER_OTLP_HEADERS, OTEL_BSP_*.
 * @param endpoint of the collector, without `/v1/traces`
 */
export function startOtel(endpoint: string, logger: Logger): { begin: Begin; close: () => Promise<void> } {
  const exporter = complaining(new OTLPTraceExporter({ url: `${endpoint}/v1/traces` }), logger);
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes({
      'service.name': NAME,
      'service.version': VERSION,
      'process.pid': process.pid,
    }).merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [new BatchSpanProcessor(exporter)],
  });
  const tracer = provider.getTracer(NAME, VERSION);
  return {
    begin: (about, caller) => new OtelSpan(tracer, about, contextOf(caller)),
    close: () => provider.shutdown().catch(() => undefined),
  };
}

class OtelSpan implements Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly headers: Record<string, string> = {};
  private readonly context: Context;
  private readonly span;

  constructor(
    private readonly tracer: Tracer,
    private readonly about: SpanAbout,
    parent: Context,
  ) {
    const { name, kind, attributes = {} } = about;
    this.span = tracer.startSpan(name, { kind: KINDS[kind], attributes }, parent);
    this.context = trace.setSpan(parent, this.span);
    ({ traceId: this.traceId, spanId: this.spanId } = this.span.spanContext());
    propagator.inject(this.context, this.headers, {
      set: (headers: Record<string, string>, name, value) => {
        headers[name] = value;
      },
    });
  }

  child(about: SpanAbout): Span {
    return new OtelSpan(this.tracer, about, this.context);
  }

  end({ status, failure }: Outcome = {}): void {
    if (status !== undefined) this.span.setAttribute('http.response.status_code', status);
    // A 4xx is the caller's mistake: where we are the caller, ours.
    const isError = status !== undefined && status >= (this.about.kind === 'server' ? 500 : 400);
    const type = failure ?? (isError ? String(status) : undefined);
    if (type !== undefined) {
      this.span.setAttribute('error.type', type);
      this.span.setStatus({ code: SpanStatusCode.ERROR });
    }
    this.span.end();
  }
}

const getter: TextMapGetter<TraceHeaders> = {
  get: ({ traceparent, tracestate }, name) => (name === 'traceparent' ? traceparent : tracestate),
  keys: Object.keys,
};

function contextOf(caller: TraceHeaders): Context {
  return propagator.extract(ROOT_CONTEXT, caller, getter);
}

/** Says in the log, once a minute at most, that spans are lost. */
function complaining(exporter: SpanExporter, logger: Logger): SpanExporter {
  let quietUntil = 0;
  let lost = 0;
  return {
    export: (spans, done) => {
      exporter.export(spans, (result) => {
        if (result.code === ExportResultCode.FAILED) {
          lost += spans.length;
          if (Date.now() >= quietUntil) {
            quietUntil = Date.now() + COMPLAIN_EVERY_MS;
            logger.warn('spans lost: the collector does not take them', {
              spans: lost,
              error: wordFor(result.error),
            });
            lost = 0;
          }
        }
        done(result);
      });
    },
    shutdown: () => exporter.shutdown(),
    forceFlush: async () => {
      await exporter.forceFlush?.();
    },
  };
}

/** An error's code or name; its message holds the collector's reply. */
function wordFor(error: Error | undefined): string | undefined {
  const code = error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' || typeof code === 'number' ? String(code) : error?.name;
}
