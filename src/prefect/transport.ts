import { Pool } from 'undici';
import { z } from 'zod';
import { JsonSyntaxError, jsonOrText, stringifyJson } from '../json.js';
import { Breaker } from './breaker.js';
import { CsrfToken } from './csrf.js';
import { ShapeError, UpstreamError } from './errors.js';
import { exchange, type RawReply } from './exchange.js';
import { explain } from './explain.js';
import type { ApiPath } from './path.js';
import { parseRetryAfter, type RetryClass } from './retry.js';

export interface TransportOptions {
  /** The orchestrator's API root, ending in `/api`, without a slash after it. */
  apiUrl: string;
  apiKey?: string | undefined;
  authString?: string | undefined;
  timeoutSeconds: number;
  connections: number;
  /** Calls that may be under way or waiting for a connection; more are refused at once. */
  queue: number;
}

export type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';

export interface Call<T> {
  body?: unknown;
  /** Turns the text of a 2xx into the result; throws ShapeError or JsonSyntaxError for what Prefect would not send. */
  parse: (text: string) => T;
}

export interface TransportNumbers {
  /** Calls on a connection. */
  running: number;
  /** Calls that wait for a connection. */
  waiting: number;
  isBreakerOpen: boolean;
  breakerOpenings: number;
}

/** Sends single calls: connection pool, authentication, deadline, breaker; makes an UpstreamError of all that fails. */
export class Transport {
  private readonly pool: Pool;
  private readonly prefix: string;
  private readonly authorization: Record<string, string>;
  private readonly breaker = new Breaker();
  private readonly csrf = new CsrfToken();
  private underWay = 0;

  constructor(private readonly options: TransportOptions) {
    const url = new URL(options.apiUrl);
    this.prefix = url.pathname.replace(/\/+$/, '');
    this.pool = new Pool(url.origin, {
      connections: options.connections,
      pipelining: 1,
      connectTimeout: Math.min(10, options.timeoutSeconds) * 1000,
      // Below uvicorn's 5 s, so that a connection is not used in the moment the server closes it.
      keepAliveTimeout: 4_000,
      keepAliveMaxTimeout: 4_000,
      headersTimeout: options.timeoutSeconds * 1000 + 1_000,
      bodyTimeout: options.timeoutSeconds * 1000 + 1_000,
    });
    this.authorization = authorization(options);
  }

  /** What is going on at this moment, and since the start. */
  get numbers(): TransportNumbers {
    const { running, queued } = this.pool.stats;
    const { isOpen, openings } = this.breaker;
    return { running, waiting: queued, isBreakerOpen: isOpen, breakerOpenings: openings };
  }

  /** Ends all connections, after what is under way. */
  async close(): Promise<void> {
    await this.pool.close();
  }

  /** Sends a call once. @throws UpstreamError for anything but a 2xx that `parse` accepts */
  async send<T>(
    method: Method,
    path: ApiPath,
    options: Call<T> & { retry: RetryClass },
    deadline: number,
  ): Promise<T> {
    this.breaker.admit();
    try {
      const result = await this.call(method, path, options, deadline);
      this.breaker.succeeded();
      return result;
    } catch (error) {
      if (isLocked(error, options.retry)) this.breaker.undecided();
      else if (isOutage(error)) this.breaker.failed();
      else this.breaker.succeeded();
      throw error;
    }
  }

  private async call<T>(method: Method, path: ApiPath, options: Call<T>, deadline: number): Promise<T> {
    const isWrite = method !== 'GET';
    if (isWrite && this.csrf.isStale) await this.refreshCsrf(deadline);
    const body = options.body === undefined ? null : stringifyJson(options.body);
    let reply = await this.request(method, path.text, body, deadline);
    if (reply.status === 403 && isWrite && (await this.refreshCsrf(deadline))) {
      reply = await this.request(method, path.text, body, deadline);
    }
    if (reply.status >= 200 && reply.status < 300) {
      try {
        return options.parse(reply.text);
      } catch (error) {
        if (!(error instanceof ShapeError || error instanceof JsonSyntaxError)) throw error;
        throw new UpstreamError('shape', { status: reply.status, cause: error });
      }
    }
    if (isSomeoneElses(reply)) throw new UpstreamError('shape', { status: reply.status });
    throw new UpstreamError('status', {
      status: reply.status,
      text: reply.text,
      explanation: explain(reply.text, options.body),
      retryAfterSeconds: parseRetryAfter(reply.retryAfter),
    });
  }

  private refreshCsrf(deadline: number): Promise<boolean> {
    return this.csrf.refresh((client) => this.request('GET', `/csrf-token?client=${client}`, null, deadline));
  }

  private request(method: Method, path: string, body: string | null, deadline: number): Promise<RawReply> {
    if (this.underWay >= this.options.queue) {
      return Promise.reject(new UpstreamError('overloaded', { retryAfterSeconds: 1, sent: false }));
    }
    const headers = {
      accept: 'application/json',
      ...(body === null ? {} : { 'content-type': 'application/json' }),
      ...this.authorization,
      ...(method === 'GET' ? {} : this.csrf.headers()),
    };
    this.underWay += 1;
    return exchange(this.pool, { method, path: this.prefix + path, headers, body }, deadline).finally(() => {
      this.underWay -= 1;
    });
  }
}

function authorization({ apiKey, authString }: TransportOptions): Record<string, string> {
  if (apiKey) return { authorization: `Bearer ${apiKey}` };
  if (authString) return { authorization: `Basic ${Buffer.from(authString).toString('base64')}` };
  return {};
}

/**
 * A 4xx that Prefect did not write: the 404 page of an ingress without a backend, or of a server whose API is under
 * another path (`Not Found` is FastAPI's word for an unknown route; Prefect names the thing that it did not find).
 * Passed on, it would make hosts delete their rows.
 */
function isSomeoneElses({ status, text }: { status: number; text: string }): boolean {
  if (![400, 404, 409, 422].includes(status)) return false;
  const body = errorBody.safeParse(jsonOrText(text));
  return !body.success || (status === 404 && body.data.detail === 'Not Found');
}

const errorBody = z.object({ detail: z.unknown() }).partial();

/** SQLite has one writer: a 503 says that another one writes. Many writes at once get many of them, and nothing is down. */
function isLocked(error: unknown, retry: RetryClass): boolean {
  return retry !== 'read' && error instanceof UpstreamError && error.status === 503;
}

function isOutage(error: unknown): boolean {
  if (!(error instanceof UpstreamError)) return false;
  if (error.failure === 'overloaded') return false;
  return error.failure !== 'status' || (error.status !== undefined && error.status >= 500);
}
