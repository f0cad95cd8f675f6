import type { HttpBindings } from '@hono/node-server';
import type { Context } from 'hono';

export interface Env {
  Bindings: Partial<HttpBindings>;
}

/** A request header, read where the server has it already, so that no `Headers` is made for it. */
export function requestHeader(c: Context<Env>, name: string): string | undefined {
  const value = c.env.incoming?.headers[name];
  return c.env.incoming ? (Array.isArray(value) ? value[0] : value) : c.req.header(name);
}

/** A signal that is aborted when the connection of a request closes: the host has hung up, or has its reply. */
export function hangUpSignal(c: Context<Env>): AbortSignal {
  const gone = new AbortController();
  c.env.outgoing?.once('close', () => {
    gone.abort();
  });
  return gone.signal;
}
