import type { HttpBindings } from '@hono/node-server';
import type { Context } from 'hono';
import type { PrefectSession } from '../prefect/client.js';

/** What is known about a request while it is served. */
export interface RequestState {
  requestId: string;
  /** The route's pattern, for logs: never the path, which holds ids and names. */
  route?: string;
  upstream?: PrefectSession['stats'];
  error?: unknown;
}

export interface Env {
  Variables: { state: RequestState };
  Bindings: Partial<HttpBindings>;
}

/**
 * A JSON reply. Its headers are one plain object: the server writes that as it is, and builds a `Headers` (a quarter
 * of the time of a poll) for anything else.
 */
export function jsonReply(
  c: Context<Env>,
  text: string,
  status = 200,
  headers: Record<string, string> = {},
): Response {
  const { requestId } = c.get('state');
  return new Response(text, {
    status,
    headers: { 'content-type': 'application/json', 'x-request-id': requestId, ...headers },
  });
}

/** A request header, read where the server has it already rather than from a `Headers` made for it. */
export function requestHeader(c: Context<Env>, name: string): string | undefined {
  const value = c.env.incoming?.headers[name];
  return c.env.incoming ? (Array.isArray(value) ? value[0] : value) : c.req.header(name);
}
