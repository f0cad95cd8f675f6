import { createHmac } from 'node:crypto';
import pLimit, { type LimitFunction } from 'p-limit';
import { request, type Dispatcher } from 'undici';
import { createPool, type Network } from '../lib/outbound.js';
import { parseRetryAfter } from '../prefect/retry.js';
import { serverOf, type Span, type Tracing } from '../telemetry/tracing.js';

export interface HostWebhookOptions {
  url: string;
  /** Sent as `Authorization`. */
  authorization?: string | undefined;
  network?: Network | undefined;
  /** Sent as `X-Notification-Key`. */
  key?: string | undefined;
  /** Standard Webhooks secret, base64, with or without `whsec_`. None: not signed. */
  secret?: string | undefined;
  timeoutSeconds: number;
  /** Deliveries under way at most; more wait. */
  concurrency: number;
  tracing?: Tracing | undefined;
  /** Is told of each attempt that was made. */
  onAttempt?: ((outcome: Outcome, milliseconds: number) => void) | undefined;
}

export interface Message {
  /** The same for each attempt at the same news. */
  id: string;
  body: string;
  /** Sent beside our own, with names in lower case. */
  headers?: Record<string, string>;
}

/** What became of an attempt. `last` is a status or a word for what went wrong, safe to show. */
export type Outcome =
  | { ok: true; last: string }
  | { ok: false; last: string; refused: boolean; gone: boolean; retryAfterSeconds?: number | undefined };

const REPLY_BYTES_READ = 64 * 1024;
const WRONG_KEY = [400, 401, 403];

/** The host's own webhook receiver. */
export class HostWebhook {
  private readonly agent: Dispatcher;
  private readonly secret: Buffer | undefined;
  private readonly turns: LimitFunction;
  private readonly callAttributes: Record<string, string | number>;
  private isStopping = false;

  constructor(private readonly options: HostWebhookOptions) {
    this.callAttributes = { 'http.request.method': 'POST', ...serverOf(new URL(options.url)) };
    this.agent = createPool(new URL(options.url), options.network ?? {}, {
      connections: options.concurrency,
      connectTimeout: options.timeoutSeconds * 1000,
      // Beyond our own, which is for the whole of it.
      headersTimeout: options.timeoutSeconds * 1000 + 1_000,
      bodyTimeout: options.timeoutSeconds * 1000 + 1_000,
    });
    this.turns = pLimit(options.concurrency);
    this.secret = options.secret ? Buffer.from(options.secret.replace(/^whsec_/, ''), 'base64') : undefined;
  }

  /**
   * Posts a message once, when it is its turn. Redirects are not followed. Never fails.
   * @returns undefined where it was not tried, because we are stopping
   */
  async deliver(message: Message): Promise<Outcome | undefined> {
    const trace = this.options.tracing?.active();
    return this.turns(() => (this.isStopping ? undefined : this.attempt(message, trace)));
  }

  /** What waits for its turn is not tried any more. */
  stop(): void {
    this.isStopping = true;
  }

  /** Breaks off what is under way: whoever waits for it is told that it failed. */
  async close(): Promise<void> {
    await this.agent.destroy();
  }

  private async attempt(message: Message, trace: Span | undefined): Promise<Outcome> {
    const span = trace?.child({ name: 'POST the host', kind: 'client', attributes: this.callAttributes });
    const started = performance.now();
    let outcome: Outcome;
    try {
      const reply = await this.post(message, span?.headers);
      span?.end({ status: reply.status });
      ({ outcome } = reply);
    } catch (error) {
      const failure = wordFor(error);
      span?.end({ failure });
      outcome = { ok: false, last: failure, refused: false, gone: false };
    }
    this.options.onAttempt?.(outcome, performance.now() - started);
    return outcome;
  }

  private async post(
    { id, body, headers }: Message,
    traceHeaders: Record<string, string> | undefined,
  ): Promise<{ status: number; outcome: Outcome }> {
    const { url, key, authorization, timeoutSeconds } = this.options;
    const timestamp = String(Math.floor(Date.now() / 1000));
    const reply = await request(url, {
      method: 'POST',
      dispatcher: this.agent,
      signal: AbortSignal.timeout(timeoutSeconds * 1000),
      headers: {
        ...headers,
        'content-type': 'application/json',
        ...(authorization ? { authorization } : {}),
        ...(key ? { 'x-notification-key': key } : {}),
        'webhook-id': id,
        'webhook-timestamp': timestamp,
        ...traceHeaders,
        ...(this.secret ? { 'webhook-signature': sign(this.secret, `${id}.${timestamp}.${body}`) } : {}),
      },
      body,
    });
    const status = reply.statusCode;
    const retryAfter = reply.headers['retry-after'];
    // The news has arrived: a body that breaks off changes nothing.
    await reply.body.dump({ limit: REPLY_BYTES_READ }).catch(() => undefined);
    return { status, outcome: outcomeOf(status, typeof retryAfter === 'string' ? retryAfter : undefined) };
  }
}

function outcomeOf(status: number, retryAfter: string | undefined): Outcome {
  if (status >= 200 && status < 300) return { ok: true, last: String(status) };
  return {
    ok: false,
    last: String(status),
    refused: WRONG_KEY.includes(status),
    gone: status === 410,
    retryAfterSeconds: parseRetryAfter(retryAfter),
  };
}

/** https://www.standardwebhooks.com: HMAC-SHA256 of `id.timestamp.body`. */
function sign(secret: Buffer, content: string): string {
  return `v1,${createHmac('sha256', secret).update(content).digest('base64')}`;
}

/** An error's code says what went wrong and holds nothing of the request; its message might. */
function wordFor(error: unknown): string {
  if (!(error instanceof Error)) return 'failed';
  if (error.name === 'TimeoutError') return 'timeout';
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}
