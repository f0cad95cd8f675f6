import { randomUUID } from 'node:crypto';
import type { Context } from 'hono';
import { AppError, errorReply } from '../errors.js';
import { stringifyJson } from '../json.js';
import { headerText, truncated } from '../lib/text.js';
import type { Logger, LogFields } from '../logger.js';
import type { PrefectSession } from '../prefect/client.js';
import { UpstreamError } from '../prefect/errors.js';
import type { Span, Tracing } from '../telemetry/tracing.js';
import type { BrowserGuard } from './browser-guard.js';
import { requestHeader, type Env } from './env.js';
import type { InFlight } from './in-flight.js';
import { checkRequest } from './request-limits.js';
import { SECURITY_HEADERS } from './security-headers.js';
import { EVENT_STREAM_HEADERS, EventStreamReply, eventStreamBody } from './event-stream.js';

/** What a handler tells about its request beside the reply. */
export interface Served {
  upstream?: PrefectSession['stats'];
  replyHeaders: Record<string, string>;
  /** Of a reply that is no error; 200, or 204 without a body, where it is not set. */
  status?: number;
}

/** A request that is over. Holds no path, header or body. */
export interface FinishedRequest {
  method: string;
  /** The pattern, e.g. `/proxy/deployments/{deployment_id}`; `none` where no route was found. */
  route: string;
  status: number;
  milliseconds: number;
  upstreamCalls: number;
  upstreamMilliseconds: number;
  requestId: string;
  /** The host's `x-ddp-org`. */
  org: string | undefined;
  /** What was thrown, as it was: its text may hold anything. */
  error: unknown;
  /** A stream of events: its time is the listener's. */
  isStream: boolean;
  /** Where requests are traced. */
  span: Span | undefined;
}

/** What is told of requests; each observer must be quick, and must not throw. */
export interface Reporting {
  logger: Logger;
  /** Are told of each request that is over, beside its log line. */
  observers?: readonly ((request: FinishedRequest) => void)[] | undefined;
  tracing?: Tracing | undefined;
  /** Where requests can be answered before their handlers are done. */
  inFlight?: InFlight | undefined;
}

/** What serving a request takes beside its handler. */
export interface Serving extends Reporting {
  guard: BrowserGuard;
}

type ReplyBody = string | Uint8Array<ArrayBuffer> | EventStreamReply | null;

const REQUEST_ID = /^[\w.:-]{1,128}$/;

/**
 * Serves one request: gives it an id, makes the reply or the error body, reports its end. Around each handler rather
 * than a middleware: without one, Hono calls a handler directly.
 * @param route the pattern, for the reports: never the path, which holds ids and names
 * @param handler makes the reply: its text (JSON, where no `content-type` is set) or bytes, or a stream of events, which
 *   is reported at its end; null: 204
 * @param isPage whether a link on another site may open it
 */
export function served(
  serving: Serving,
  route: string,
  handler: (c: Context<Env>, served: Served) => ReplyBody | Promise<ReplyBody>,
  isPage = false,
): (c: Context<Env>) => Promise<Response> {
  const { tracing, guard, inFlight } = serving;
  return async (c) => {
    const started = performance.now();
    const requestId = requestIdOf(c);
    const about: Served = { replyHeaders: {} };
    let status: number;
    let body: ReplyBody;
    let thrown: unknown;
    let originHeaders: Record<string, string> | undefined;
    const span = tracing && spanOf(tracing, c, route);
    try {
      checkRequest(c);
      originHeaders = guard.check(c, isPage);
      inFlight?.check();
      const work = span ? tracing.within(span, () => handler(c, about)) : handler(c, about);
      body = await (work instanceof Promise && inFlight ? inFlight.untilEnd(work, c.req.method) : work);
      status = about.status ?? (body === null ? 204 : 200);
    } catch (error) {
      thrown = error;
      const reply = errorReply(error, requestId);
      ({ status, headers: about.replyHeaders } = reply);
      body = stringifyJson(reply.body);
    }
    const finish = (error: unknown) => {
      report(serving, {
        method: c.req.method,
        route,
        status,
        milliseconds: performance.now() - started,
        upstreamCalls: about.upstream?.calls ?? 0,
        upstreamMilliseconds: about.upstream?.milliseconds ?? 0,
        requestId,
        org: orgOf(c),
        error,
        isStream: body instanceof EventStreamReply,
        span,
      });
    };
    if (body instanceof EventStreamReply) {
      const stream = eventStreamBody(body, { onEnd: finish, onStall: () => c.env.outgoing?.destroy() });
      const headers = {
        ...SECURITY_HEADERS,
        ...EVENT_STREAM_HEADERS,
        'x-request-id': requestId,
        ...originHeaders,
      };
      return new Response(stream, { headers });
    }
    finish(thrown);
    // The headers are a plain object, which the server writes as it is; a `Headers` is made into one first.
    const headers = {
      ...SECURITY_HEADERS,
      'content-type': 'application/json',
      'x-request-id': requestId,
      ...originHeaders,
      ...about.replyHeaders,
    };
    return new Response(body, { status, headers });
  };
}

/** Writes the request's one log line, and tells the observers. */
function report({ logger, observers = [] }: Reporting, request: FinishedRequest): void {
  const { status, error } = request;
  logger[status >= 500 ? 'error' : 'info']('request', {
    method: request.method,
    route: request.route,
    status,
    ms: round(request.milliseconds),
    upstream_calls: request.upstreamCalls,
    upstream_ms: round(request.upstreamMilliseconds),
    org: request.org,
    request_id: request.requestId,
    trace_id: request.span?.traceId,
    code: error instanceof AppError ? error.code : undefined,
    ...causeOf(error instanceof AppError ? error.cause : error),
  });
  request.span?.end({ status });
  for (const observe of observers) observe(request);
}

/** The span of a request: it continues the host's trace. */
function spanOf(tracing: Tracing, c: Context<Env>, route: string): Span {
  const attributes = { 'http.request.method': c.req.method, 'http.route': route };
  const caller = { traceparent: requestHeader(c, 'traceparent'), tracestate: requestHeader(c, 'tracestate') };
  return tracing.begin({ name: `${c.req.method} ${route}`, kind: 'server', attributes }, caller);
}

function requestIdOf(c: Context<Env>): string {
  const given = requestHeader(c, 'x-request-id');
  return given && REQUEST_ID.test(given) ? given : randomUUID();
}

/** The organisation that the host names, up to 128 characters of it. */
function orgOf(c: Context<Env>): string | undefined {
  const org = requestHeader(c, 'x-ddp-org');
  return org === undefined ? undefined : truncated(headerText(org), 128);
}

/** Why it failed, without any text that may hold a part of a body. */
function causeOf(error: unknown): LogFields | undefined {
  if (error === undefined) return undefined;
  if (error instanceof UpstreamError) {
    const code = error.cause instanceof Error && 'code' in error.cause ? String(error.cause.code) : undefined;
    return { upstream_failure: error.failure, upstream_status: error.status, upstream_code: code };
  }
  if (!(error instanceof Error)) return { cause: typeof error };
  // The first line of a stack is the message, which an unknown error may have made of anything.
  const frames = error.stack?.split('\n    at ').slice(1, 6).join(' < ');
  return { cause: error.name, at: frames };
}

function round(milliseconds: number): number {
  return Math.round(milliseconds * 10) / 10;
}
