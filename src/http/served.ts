import { randomUUID } from 'node:crypto';
import type { Context } from 'hono';
import { AppError, errorReply } from '../errors.js';
import { stringifyJson } from '../json.js';
import type { Logger, LogFields } from '../logger.js';
import type { PrefectSession } from '../prefect/client.js';
import { UpstreamError } from '../prefect/errors.js';
import { requestHeader, type Env } from './env.js';
import { EVENT_STREAM_HEADERS, EventStreamReply, eventStreamBody } from './event-stream.js';

/** What a handler tells about its request beside the reply. */
export interface Served {
  upstream?: PrefectSession['stats'];
  replyHeaders: Record<string, string>;
  /** The reply says where to go on asking. */
  isAccepted?: boolean;
}

type ReplyBody = string | Uint8Array<ArrayBuffer> | EventStreamReply | null;

const REQUEST_ID = /^[\w.:-]{1,128}$/;

/**
 * Serves one request: gives it an id, makes the reply or the error body, writes its one log line. Around each handler
 * rather than a middleware: without one, Hono calls a handler directly.
 * @param route the pattern, for the log: never the path, which holds ids and names
 * @param handler makes the reply: its text (JSON, where no `content-type` is set) or bytes, or a stream of events, whose
 *   line is written at its end; null: 204
 */
export function served(
  logger: Logger,
  route: string,
  handler: (c: Context<Env>, served: Served) => ReplyBody | Promise<ReplyBody>,
): (c: Context<Env>) => Promise<Response> {
  return async (c) => {
    const started = performance.now();
    const requestId = requestIdOf(c);
    const about: Served = { replyHeaders: {} };
    let status = 200;
    let body: ReplyBody;
    let cause: LogFields | undefined;
    try {
      body = await handler(c, about);
      if (body === null) status = 204;
      else if (about.isAccepted) status = 202;
    } catch (error) {
      const reply = errorReply(error, requestId);
      ({ status, headers: about.replyHeaders } = reply);
      body = stringifyJson(reply.body);
      cause = causeOf(error instanceof AppError ? error.cause : error);
    }
    const log = (why: LogFields | undefined) => {
      logger[status >= 500 ? 'error' : 'info']('request', {
        method: c.req.method,
        route,
        status,
        ms: round(performance.now() - started),
        upstream_calls: about.upstream?.calls ?? 0,
        upstream_ms: round(about.upstream?.milliseconds ?? 0),
        org: requestHeader(c, 'x-ddp-org')?.slice(0, 128),
        request_id: requestId,
        ...why,
      });
    };
    if (body instanceof EventStreamReply) {
      const stream = eventStreamBody(body, {
        onEnd: (error) => {
          log(causeOf(error));
        },
        onStall: () => c.env.outgoing?.destroy(),
      });
      return new Response(stream, { headers: { ...EVENT_STREAM_HEADERS, 'x-request-id': requestId } });
    }
    log(cause);
    // The headers are a plain object, which the server writes as it is; a `Headers` is made into one first.
    const headers = { 'content-type': 'application/json', 'x-request-id': requestId, ...about.replyHeaders };
    return new Response(body, { status, headers });
  };
}

function requestIdOf(c: Context<Env>): string {
  const given = requestHeader(c, 'x-request-id');
  return given && REQUEST_ID.test(given) ? given : randomUUID();
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
