import type { Dispatcher } from 'undici';
import { Admission, NotAdmitted, type Priority } from '../admission.js';
import { createPool, type Network } from '../lib/outbound.js';
import { JsonSyntaxError, stringifyJson } from '../json.js';
import { serverOf, type Span, type SpanAbout } from '../telemetry/tracing.js';
import { Breaker } from './breaker.js';
import { CsrfToken } from './csrf.js';
import { prefectSaid } from './error-body.js';
import { ShapeError, UpstreamError } from './errors.js';
import { exchange, type RawReply } from './exchange.js';
import { path, type ApiPath } from './path.js';
import { replyError } from './reply-error.js';
import type { RetryClass } from './retry.js';

export interface TransportOptions {
  /** The orchestrator's API root, ending in `/api`, without a slash after it. */
  apiUrl: string;
  apiKey?: string | undefined;
  authString?: string | undefined;
  /** Sent with each call, with names in lower case; our own headers win. */
  customHeaders?: Record<string, string> | undefined;
  network?: Network | undefined;
  timeoutSeconds: number;
  connections: number;
  /** Bytes of a reply that are read; of a longer one the connection is dropped. */
  maxReplyBytes: number;
  /** Calls that may be under way or waiting for a connection; of more, the least urgent are refused at once. */
  queue: number;
}

/** What a call gets from the host's request that it is for. */
export interface Errand {
  priority: Priority;
  /** In milliseconds of `performance.now()`; waiting for a connection counts. */
  deadline: number;
  /** Where it is traced. */
  span: Span | undefined;
}

export type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';

export interface Call<T> {
  body?: unknown;
  /** Turns a 2xx into the result; throws ShapeError or JsonSyntaxError for what Prefect would not send. */
  parse: (text: string, status: number) => T;
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
  private readonly pool: Dispatcher;
  private readonly prefix: string;
  private readonly maxReplyBytes: number;
  /** What each call carries. */
  private readonly headers: Record<string, string>;
  /** As spans name it. */
  private readonly server: Record<string, string | number>;
  private readonly breaker = new Breaker();
  private readonly csrf = new CsrfToken();
  /** In place of undici's own queue, which knows no priorities and keeps what is given up until its turn. */
  private readonly admission: Admission;

  constructor(options: TransportOptions) {
    const { connections, queue } = options;
    const slots = Math.min(connections, queue);
    this.admission = new Admission({ slots, waiting: queue - slots });
    const url = new URL(options.apiUrl);
    this.prefix = url.pathname.replace(/\/+$/, '');
    this.server = serverOf(url);
    this.pool = createPool(url, options.network ?? {}, {
      connections,
      pipelining: 1,
      connectTimeout: Math.min(10, options.timeoutSeconds) * 1000,
      // Below uvicorn's 5 s, so that a connection is not used in the moment the server closes it.
      keepAliveTimeout: 4_000,
      keepAliveMaxTimeout: 4_000,
      headersTimeout: options.timeoutSeconds * 1000 + 1_000,
      bodyTimeout: options.timeoutSeconds * 1000 + 1_000,
    });
    this.maxReplyBytes = options.maxReplyBytes;
    this.headers = {
      ...options.customHeaders,
      accept: 'application/json',
      ...authorizationHeaders(options),
    };
  }

  /** What is going on at this moment, and since the start. */
  get numbers(): TransportNumbers {
    const { underWay: running, waiting } = this.admission;
    const { isOpen, openings } = this.breaker;
    return { running, waiting, isBreakerOpen: isOpen, breakerOpenings: openings };
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
    errand: Errand,
  ): Promise<T> {
    const { priority, deadline } = errand;
    if (!this.admission.tryEnter(priority)) await this.turn(priority, deadline);
    try {
      return await this.sendNow(method, path, options, errand);
    } finally {
      this.admission.leave(priority);
    }
  }

  private async turn(priority: Priority, deadline: number): Promise<void> {
    this.breaker.check();
    try {
      await this.admission.wait(priority, { patienceMs: deadline - performance.now() });
    } catch (error) {
      if (!(error instanceof NotAdmitted)) throw error;
      if (error.reason === 'full')
        throw new UpstreamError('overloaded', { retryAfterSeconds: 1, sent: false });
      throw new UpstreamError('timeout', { sent: false });
    }
  }

  private async sendNow<T>(
    method: Method,
    path: ApiPath,
    options: Call<T> & { retry: RetryClass },
    errand: Errand,
  ): Promise<T> {
    this.breaker.admit();
    const began = performance.now();
    try {
      const result = await this.call(method, path, options, errand);
      this.breaker.succeeded();
      return result;
    } catch (error) {
      if (isOutage(error)) {
        if (!isLocked(error, options.retry)) this.breaker.failed(began);
      } else this.breaker.succeeded();
      throw error;
    }
  }

  private async call<T>(method: Method, path: ApiPath, options: Call<T>, errand: Errand): Promise<T> {
    const isWrite = method !== 'GET';
    if (isWrite && this.csrf.isStale) await this.refreshCsrf(errand);
    const body = options.body === undefined ? null : stringifyJson(options.body);
    let reply = await this.request(method, path, body, errand);
    if (reply.status === 403 && isWrite && prefectSaid(reply) && (await this.refreshCsrf(errand))) {
      reply = await this.request(method, path, body, errand);
    }
    if (reply.status >= 200 && reply.status < 300) {
      try {
        return options.parse(reply.text, reply.status);
      } catch (error) {
        if (!(error instanceof ShapeError || error instanceof JsonSyntaxError)) throw error;
        throw new UpstreamError('shape', { status: reply.status, cause: error });
      }
    }
    throw replyError(reply, options.body);
  }

  private refreshCsrf(errand: Errand): Promise<boolean> {
    return this.csrf.refresh((client) =>
      this.request('GET', path`/csrf-token`.withQuery({ client }), null, errand),
    );
  }

  private request(
    method: Method,
    path: ApiPath,
    body: string | null,
    { deadline, span }: Errand,
  ): Promise<RawReply> {
    const callSpan = span?.child(this.aboutCall(method, path));
    const headers = {
      ...this.headers,
      ...(body === null ? {} : { 'content-type': 'application/json' }),
      ...(method === 'GET' ? {} : this.csrf.headers()),
      ...callSpan?.headers,
    };
    const options = { method, path: this.prefix + path.text, headers, body };
    const reply = exchange(this.pool, options, { deadline, maxBytes: this.maxReplyBytes });
    return callSpan ? endingWith(reply, callSpan) : reply;
  }

  private aboutCall(method: Method, { template }: ApiPath): SpanAbout {
    const attributes = { ...this.server, 'http.request.method': method, 'url.template': template };
    return { name: `${method} ${template}`, kind: 'client', attributes };
  }
}

/** Ends a span with what a call came to. */
async function endingWith(reply: Promise<RawReply>, span: Span): Promise<RawReply> {
  try {
    const { status } = await reply;
    span.end({ status });
  } catch (error) {
    span.end({ failure: error instanceof UpstreamError ? error.failure : 'error' });
  }
  return reply;
}

/** How the configuration's credentials are sent, to REST and to the websocket's handshake alike. */
export function authorizationHeaders({
  apiKey,
  authString,
}: Pick<TransportOptions, 'apiKey' | 'authString'>): Record<string, string> {
  if (apiKey) return { authorization: `Bearer ${apiKey}` };
  if (authString) return { authorization: `Basic ${Buffer.from(authString).toString('base64')}` };
  return {};
}

/** SQLite has one writer: a 503 says that another one writes. Many writes at once get many of them, and nothing is down. */
function isLocked(error: unknown, retry: RetryClass): boolean {
  return retry !== 'read' && error instanceof UpstreamError && error.status === 503;
}

function isOutage(error: unknown): boolean {
  if (!(error instanceof UpstreamError)) return false;
  // An answer that is too long is one all the same.
  if (error.failure === 'too_large') return false;
  return error.failure !== 'status' || (error.status !== undefined && error.status >= 500);
}
