import { setTimeout as sleep } from 'node:timers/promises';
import { UpstreamError } from './errors.js';
import { nothing } from './parse.js';
import type { ApiPath } from './path.js';
import { retryDelay, shouldRetry, type RetryClass } from './retry.js';
import { Transport, type Call, type Method, type TransportOptions } from './transport.js';

export interface PrefectClientOptions extends TransportOptions {
  /** Whether calls that are safe to repeat are repeated. `timeoutSeconds` is for all attempts together. */
  retry: boolean;
  retryDelaySeconds: number;
}

export interface CallOptions<T> extends Call<T> {
  retry: RetryClass;
}

/** What one host request does upstream: the verbs, its deadline and its counters. */
export interface PrefectSession {
  get<T>(path: ApiPath, options: Omit<CallOptions<T>, 'body'>): Promise<T>;
  post<T>(path: ApiPath, options: CallOptions<T>): Promise<T>;
  patch<T>(path: ApiPath, options: CallOptions<T>): Promise<T>;
  delete(path: ApiPath): Promise<void>;
  readonly stats: { calls: number; milliseconds: number };
}

/**
 * A host request may repeat its calls this often in all: 20 % on top would fail one read in nine against a SQLite
 * server that answers 503 one time in three. What an outage costs is bounded by the breaker.
 */
const MIN_RETRIES_PER_SESSION = 10;

/** The one way to the orchestrator. */
export class PrefectClient {
  /** Rows per page: Prefect's own maximum, until an operator's lower one is met. */
  pageSize = 200;
  private readonly transport: Transport;

  constructor(private readonly options: PrefectClientOptions) {
    this.transport = new Transport(options);
  }

  /** Starts the calls of one host request; the deadline runs from here. */
  session(): PrefectSession {
    return new Session(this.transport, this.options);
  }

  /** Ends all connections, after what is under way. */
  close(): Promise<void> {
    return this.transport.close();
  }
}

class Session implements PrefectSession {
  readonly stats = { calls: 0, milliseconds: 0 };
  private readonly deadline: number;
  private retries = 0;

  constructor(
    private readonly transport: Transport,
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
    const options = { parse: nothing, retry: 'idempotent' as const };
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
      try {
        return await this.send(method, path, options);
      } catch (error) {
        if (!(error instanceof UpstreamError) || !this.mayRetry(error, options.retry)) throw error;
        const delay = retryDelay(error, attempt, this.options.retryDelaySeconds) * 1000;
        if (Date.now() + delay >= this.deadline) throw error;
        this.retries += 1;
        await sleep(delay);
      }
    }
  }

  private async send<T>(method: Method, path: ApiPath, options: CallOptions<T>): Promise<T> {
    this.stats.calls += 1;
    const started = performance.now();
    try {
      return await this.transport.send(method, path, options, this.deadline);
    } finally {
      this.stats.milliseconds += performance.now() - started;
    }
  }

  private mayRetry(error: UpstreamError, retry: RetryClass): boolean {
    const budget = Math.max(MIN_RETRIES_PER_SESSION, this.stats.calls - this.retries);
    return this.options.retry && this.retries < budget && shouldRetry(error, retry);
  }
}
