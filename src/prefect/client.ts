import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';
import { JsonSyntaxError, stringifyJson } from '../json.js';
import { Breaker } from './breaker.js';
import { CsrfToken } from './csrf.js';
import { UpstreamError } from './errors.js';
import { explain } from './explain.js';
import type { ApiPath } from './path.js';
import { parseRetryAfter, retryDelay, shouldRetry, type RetryClass } from './retry.js';

export interface PrefectClientOptions {
  /** The orchestrator's API root, ending in `/api`, without a slash after it. */
  apiUrl: string;
  apiKey?: string | undefined;
  authString?: string | undefined;
  /** One host request's whole budget upstream, retries included. */
  timeoutSeconds: number;
  retry: boolean;
  retryDelaySeconds: number;
  connections: number;
  /** Calls that may be under way or waiting for a connection; more are refused at once. */
  queue: number;
}

export interface CallOptions<T> {
  body?: unknown;
  /** Turns the text of a 2xx into the result; throws ShapeError or JsonSyntaxError for what Prefect would not send. */
  parse: (text: string) => T;
  retry: RetryClass;
}

/** A 2xx whose body is not what Prefect sends on that route. */
export class ShapeError extends Error {}

/** What one host request does upstream: the verbs, its deadline and its counters. */
export interface PrefectSession {
  get<T>(path: ApiPath, options: Omit<CallOptions<T>, 'body'>): Promise<T>;
  post<T>(path: ApiPath, options: CallOptions<T>): Promise<T>;
  patch<T>(path: ApiPath, options: CallOptions<T>): Promise<T>;
  delete(path: ApiPath): Promise<void>;
  readonly stats: { calls: number; milliseconds: number };
}

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';

/**
 * A host request may repeat its calls this often in all: 20 % on top would fail one read in nine against a SQLite
 * server that answers 503 one time in three. What an outage costs is bounded by the breaker.
 */
const MIN_RETRIES_PER_SESSION = 10;

/** The one way to the orchestrator: connection pool, deadline, retry, breaker, authentication, error mapping. */
export class PrefectClient {
  /** Rows per page: Prefect's own maximum, until an operator's lower one is met. */
  pageSize = 200;
  private readonly pool: Pool;
  private readonly prefix: string;
  private readonly authorization: Record<string, string>;
  private readonly breaker = new Breaker();
  private readonly csrf = new CsrfToken();
  private underWay = 0;

  constructor(private readonly options: PrefectClientOptions) {
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

  /** Starts the calls of one host request; the deadline runs from here. */
  session(): PrefectSession {
    return new Session(this, this.options);
  }

  /** Ends all connections, after what is under way. */
  async close(): Promise<void> {
    await this.pool.close();
  }

  /** Sends a call once. @throws UpstreamError for anything but a 2xx that `parse` accepts */
  async send<T>(method: Method, path: ApiPath, options: CallOptions<T>, deadline: number): Promise<T> {
    this.breaker.admit();
    try {
      const result = await this.exchange(method, path, options, deadline);
      this.breaker.succeeded();
      return result;
    } catch (error) {
      if (isOutage(error)) this.breaker.failed();
      else this.breaker.succeeded();
      throw error;
    }
  }

  private async exchange<T>(
    method: Method,
    path: ApiPath,
    options: CallOptions<T>,
    deadline: number,
  ): Promise<T> {
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

  private async request(method: Method, path: string, body: string | null, deadline: number) {
    if (this.underWay >= this.options.queue) {
      throw new UpstreamError('overloaded', { retryAfterSeconds: 1, sent: false });
    }
    // An emitter does for undici what an AbortSignal does, at a tenth of its price.
    const abort = new EventEmitter();
    const timer = setTimeout(() => {
      abort.emit('abort');
    }, deadline - Date.now());
    this.underWay += 1;
    try {
      const {
        statusCode,
        headers,
        body: stream,
      } = await this.pool.request({
        method,
        path: this.prefix + path,
        headers: {
          accept: 'application/json',
          ...(body === null ? {} : { 'content-type': 'application/json' }),
          ...this.authorization,
          ...(method === 'GET' ? {} : this.csrf.headers()),
        },
        body,
        signal: abort,
      });
      const retryAfter = headers['retry-after'];
      return {
        status: statusCode,
        text: await stream.text(),
        retryAfter: typeof retryAfter === 'string' ? retryAfter : undefined,
      };
    } catch (error) {
      throw connectionError(error);
    } finally {
      clearTimeout(timer);
      this.underWay -= 1;
    }
  }
}

class Session implements PrefectSession {
  readonly stats = { calls: 0, milliseconds: 0 };
  private readonly deadline: number;
  private retries = 0;

  constructor(
    private readonly client: PrefectClient,
    private readonly options: PrefectClientOptions,
  ) {
    this.deadline = Date.now() + options.timeoutSeconds * 1000;
  }

  get<T>(path: ApiPath, options: Omit<CallOptions<T>, 'body'>): Promise<T> {
    return this.call('GET', path, options);
  }

  post<T>(path: ApiPath, options: CallOptions<T>): Promise<T> {
    return this.call('POST', path, options);
  }

  patch<T>(path: ApiPath, options: CallOptions<T>): Promise<T> {
    return this.call('PATCH', path, options);
  }

  async delete(path: ApiPath): Promise<void> {
    let attempts = 0;
    const options = { parse: () => undefined, retry: 'idempotent' as const };
    await this.call('DELETE', path, options, () => (attempts += 1)).catch((error: unknown) => {
      // The first attempt may have deleted it before its reply was lost.
      if (!(attempts > 1 && error instanceof UpstreamError && error.isNotFound)) throw error;
    });
  }

  private async call<T>(
    method: Method,
    path: ApiPath,
    options: CallOptions<T>,
    onAttempt?: () => void,
  ): Promise<T> {
    for (let attempt = 0; ; attempt += 1) {
      onAttempt?.();
      this.stats.calls += 1;
      const started = performance.now();
      try {
        return await this.client.send(method, path, options, this.deadline);
      } catch (error) {
        if (!(error instanceof UpstreamError) || !this.mayRetry(error, options.retry)) throw error;
        const delay = retryDelay(error, attempt, this.options.retryDelaySeconds) * 1000;
        if (Date.now() + delay >= this.deadline) throw error;
        this.retries += 1;
        await sleep(delay);
      } finally {
        this.stats.milliseconds += performance.now() - started;
      }
    }
  }

  private mayRetry(error: UpstreamError, retry: RetryClass): boolean {
    const budget = Math.max(MIN_RETRIES_PER_SESSION, this.stats.calls);
    return this.options.retry && this.retries < budget && shouldRetry(error, retry);
  }
}

function authorization({ apiKey, authString }: PrefectClientOptions): Record<string, string> {
  if (apiKey) return { authorization: `Bearer ${apiKey}` };
  if (authString) return { authorization: `Basic ${Buffer.from(authString).toString('base64')}` };
  return {};
}

function isOutage(error: unknown): boolean {
  if (!(error instanceof UpstreamError)) return false;
  if (error.failure === 'overloaded') return false;
  return error.failure !== 'status' || (error.status !== undefined && error.status >= 500);
}

const NEVER_SENT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/** Our own deadline, which aborts, and undici's limits beside it. */
const TOO_LATE = new Set(['UND_ERR_ABORTED', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT']);

function connectionError(error: unknown): UpstreamError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (TOO_LATE.has(code)) return new UpstreamError('timeout', { cause: error });
  return new UpstreamError('unreachable', { sent: !NEVER_SENT.has(code), cause: error });
}
