import { setTimeout as sleep } from 'node:timers/promises';
import type { Priority } from '../admission.js';

import { UpstreamError } from './errors.js';
import { nothing } from './parse.js';
import type { ApiPath } from './path.js';
import { mayHaveHappened, retryDelay, shouldRetry, type RetryClass } from './retry.js';
import type { Span, Tracing } from '../telemetry/tracing.js';
import {
  Transport,
  type Call,
  type Errand,
  type Method,
  type TransportNumbers,
  type TransportOptions,
} from './transport.js';

export interface PrefectClientOptions extends TransportOptions {
  /** Whether calls that are safe to repeat are repeated. `timeoutSeconds` is for all attempts together. */
  retry: boolean;
  retryDelaySeconds: number;
  /** Is told of each call that is over; must be quick, and must not throw. */
  onCall?: ((call: FinishedCall) => void) | undefined;
  tracing?: Tracing | undefined;
}

/** A call that is over, well or not. */
export interface FinishedCall {
  method: Method;
  /** The path with `{}` in place of each value. */
  template: string;
  /** 0, and one more with each repetition. */
  attempt: number;
  milliseconds: number;
  /** Why it failed; its text may hold a part of the reply. */
  error: unknown;
}

export interface CallOptions<T> extends Call<T> {
  retry: RetryClass;
}

export interface SessionOptions {
  priority?: Priority;
  /** For all calls together; that of the configuration where it is not given. */
  timeoutSeconds?: number;
  /** Milliseconds that the host has waited already: they count. */
  waitedMs?: number;
  /** On behalf of many: its calls are part of nobody's trace. */
  isShared?: boolean;
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
/** For so long a host waits for an orchestrator that takes no connection: a server that restarts takes longer. */
const REFUSED_MS = 3_000;

/** The one way to the orchestrator. */
export class PrefectClient {
  /** Rows per page: Prefect's own maximum, until an operator's lower one is met. */
  pageSize = 200;
  private readonly transport: Transport;

  constructor(private readonly options: PrefectClientOptions) {
    this.transport = new Transport(options);
  }

  /** What is going on at this moment, and since the start. */
  get numbers(): TransportNumbers {
    return this.transport.numbers;
  }

  /** Starts the calls of one host request, in its trace; the deadline runs from here. */
  session(options: SessionOptions = {}): PrefectSession {
    const span = options.isShared ? undefined : this.options.tracing?.active();
    return new Session(this.transport, this.options, options, span);
  }

  /** Ends all connections, after what is under way. */
  close(): Promise<void> {
    return this.transport.close();
  }
}

class Session implements PrefectSession {
  readonly stats = { calls: 0, milliseconds: 0 };
  private readonly errand: Errand;
  private retries = 0;
  private refusedUntil: number | undefined;

  constructor(
    private readonly transport: Transport,
    private readonly options: PrefectClientOptions,
    { priority = 'normal', waitedMs = 0, timeoutSeconds = options.timeoutSeconds }: SessionOptions,
    span: Span | undefined,
  ) {
    this.errand = { priority, deadline: performance.now() - waitedMs + timeoutSeconds * 1000, span };
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
    let mayBeDone = false;
    const options = { parse: nothing, retry: 'idempotent' as const };
    const onRepeat = (failed: UpstreamError) => (mayBeDone ||= mayHaveHappened(failed));
    await this.call('DELETE', path, options, onRepeat).catch((error: unknown) => {
      if (!(mayBeDone && error instanceof UpstreamError && error.isNotFound)) throw error;
    });
  }

  private async call<T>(
    method: Method,
    path: ApiPath,
    options: CallOptions<T>,
    onRepeat?: (failed: UpstreamError) => void,
  ): Promise<T> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await this.send(method, path, options, attempt);
      } catch (error) {
        if (!(error instanceof UpstreamError) || !this.mayRetry(error, options.retry, attempt)) throw error;
        const next = performance.now() + retryDelay(error, attempt, this.options.retryDelaySeconds) * 1000;
        if (next >= this.lastTry(error)) throw error;
        this.retries += 1;
        onRepeat?.(error);
        await sleep(next - performance.now());
      }
    }
  }

  private async send<T>(method: Method, path: ApiPath, options: CallOptions<T>, attempt: number): Promise<T> {
    this.stats.calls += 1;
    const started = performance.now();
    let failure: unknown;
    try {
      return await this.transport.send(method, path, options, this.errand);
    } catch (error) {
      failure = error;
      throw error;
    } finally {
      const milliseconds = performance.now() - started;
      this.stats.milliseconds += milliseconds;
      this.options.onCall?.({ method, template: path.template, attempt, milliseconds, error: failure });
    }
  }

  /** When it is too late to try again. */
  private lastTry({ failure, details }: UpstreamError): number {
    if (failure !== 'unreachable' || details.sent !== false) return this.errand.deadline;
    this.refusedUntil ??= performance.now() + REFUSED_MS;
    return Math.min(this.refusedUntil, this.errand.deadline);
  }

  private mayRetry(error: UpstreamError, retry: RetryClass, attempt: number): boolean {
    const budget = Math.max(MIN_RETRIES_PER_SESSION, this.stats.calls - this.retries);
    return this.options.retry && this.retries < budget && shouldRetry(error, retry, attempt);
  }
}
