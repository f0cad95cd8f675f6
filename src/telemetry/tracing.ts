import { AsyncLocalStorage } from 'node:async_hooks';

export interface SpanAbout {
  /** Of few values: a method and a pattern, never a path, an id or a name. */
  name: string;
  kind: 'server' | 'client' | 'internal';
  /** By the semantic conventions of OpenTelemetry; like the name without anything of a host's. */
  attributes?: Record<string, string | number>;
}

export interface Outcome {
  /** Of an HTTP reply. */
  status?: number | undefined;
  /** A word for what went wrong. */
  failure?: string | undefined;
}

/** The headers of W3C Trace Context. */
export interface TraceHeaders {
  traceparent?: string | undefined;
  tracestate?: string | undefined;
}

/** A piece of work in a trace. */
export interface Span {
  /** 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits. */
  readonly spanId: string;
  /** What makes another server go on with the trace below this span. */
  readonly headers: Record<string, string>;
  /** Begins a part of it. */
  child(about: SpanAbout): Span;
  /** Ends it, once. */
  end(outcome?: Outcome): void;
}

/** Begins a trace, or continues the one that a caller's headers name. */
export type Begin = (about: SpanAbout, caller: TraceHeaders) => Span;

/** Where work finds the span that it is part of. Without one nothing is traced, and nothing is spent on it. */
export class Tracing {
  private readonly spans = new AsyncLocalStorage<Span>();

  constructor(readonly begin: Begin) {}

  /** Runs work to which, and to all that follows from it, `active` is this span. */
  within<T>(span: Span, work: () => T): T {
    return this.spans.run(span, work);
  }

  /** The span under way; undefined in what no trace is about. */
  active(): Span | undefined {
    return this.spans.getStore();
  }
}

/** Runs work as a trace of its own. @throws what the work throws */
export async function asTrace<T>(
  tracing: Tracing | undefined,
  name: string,
  work: () => Promise<T>,
): Promise<T> {
  if (!tracing) return work();
  const span = tracing.begin({ name, kind: 'internal' }, {});
  try {
    const result = await tracing.within(span, work);
    span.end();
    return result;
  } catch (error) {
    span.end({ failure: error instanceof Error ? error.name : typeof error });
    throw error;
  }
}

/** Traces for two receivers, under one trace id; what goes to other servers is the first one's. */
export function both(first: Begin, second: Begin): Begin {
  return (about, caller) => {
    const span = first(about, caller);
    return pair(span, second(about, span.headers));
  };
}

function pair(first: Span, second: Span): Span {
  return {
    traceId: first.traceId,
    spanId: first.spanId,
    headers: first.headers,
    child: (about) => pair(first.child(about), second.child(about)),
    end: (outcome) => {
      first.end(outcome);
      second.end(outcome);
    },
  };
}

/** A server as the spans of calls to it name it. */
export function serverOf({ hostname, port, protocol }: URL): Record<string, string | number> {
  return { 'server.address': hostname, 'server.port': Number(port || (protocol === 'https:' ? 443 : 80)) };
}
