import { randomUUID } from 'node:crypto';
import type { Context, MiddlewareHandler } from 'hono';
import { UpstreamError } from '../prefect/errors.js';
import type { Logger, LogFields } from '../logger.js';
import { requestHeader, type Env } from './reply.js';

const REQUEST_ID = /^[\w.:-]{1,128}$/;

/** Gives each request an id, and writes its one line when the reply is ready. */
export function requestLog(logger: Logger): MiddlewareHandler<Env> {
  return async (c, next) => {
    const started = performance.now();
    const given = requestHeader(c, 'x-request-id');
    const requestId = given && REQUEST_ID.test(given) ? given : randomUUID();
    c.set('state', { requestId });
    await next();
    const { status } = c.res;
    logger[status >= 500 ? 'error' : 'info']('request', fieldsOf(c, performance.now() - started));
  };
}

function fieldsOf(c: Context<Env>, milliseconds: number): LogFields {
  const { requestId, route, upstream, error } = c.get('state');
  return {
    method: c.req.method,
    route: route ?? 'none',
    status: c.res.status,
    ms: round(milliseconds),
    upstream_calls: upstream?.calls ?? 0,
    upstream_ms: round(upstream?.milliseconds ?? 0),
    org: requestHeader(c, 'x-ddp-org')?.slice(0, 128),
    request_id: requestId,
    ...(error === undefined ? {} : causeOf(error)),
  };
}

/** Why it failed, without any text that may hold a part of a body. */
function causeOf(error: unknown): LogFields {
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
