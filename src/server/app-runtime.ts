import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { getRequestListener } from '@hono/node-server';
import { createApp } from '../app.js';
import type { Config } from '../config.js';
import { createClient } from '../create-client.js';
import { unroutable } from '../http/wire.js';
import type { Logger } from '../logger.js';
import type { Metrics } from '../metrics/metrics.js';
import { callMetrics, readClient, requestMetrics } from '../metrics/serving.js';
import type { OnHint } from '../services/hints.js';
import type { Standby } from '../services/settlement/standby.js';
import { PrefectVersion } from '../services/system/prefect-version.js';
import type { Telemetry } from '../telemetry/telemetry.js';

export interface AppRuntimeOptions {
  config: Config & { PREFECT_API_URL: string };
  logger: Logger;
  hint: OnHint;
  /** Whether and why nothing is delivered at the moment; without one it is. */
  standby?: Standby | undefined;
  /** Asks for Prefect's version at the start, in the background, so that it is known if Prefect is away later. */
  learnVersion?: boolean | undefined;
  telemetry: Pick<Telemetry, 'tracing' | 'observe'>;
  /** Is told how each call to Prefect failed, if it did. */
  onCallError: (error: unknown) => void;
  /** Where it counts. */
  metrics: Metrics;
  /** Makes the text of `/metrics`. */
  scrape: () => Promise<string>;
}

/** The app with its client to Prefect, as one configuration makes them. A reload puts another one in its place. */
export class AppRuntime {
  private readonly draining = new AbortController();
  private readonly closing = new AbortController();
  private readonly cutting = new AbortController();
  private readonly client;
  private readonly listener;
  private clientClosed: Promise<void> | undefined;
  private underWay = 0;
  private onIdle: () => void = () => undefined;

  constructor(options: AppRuntimeOptions) {
    const { config, logger, hint, telemetry, metrics, scrape, onCallError } = options;
    const { tracing, observe } = telemetry;
    const prefectVersion = new PrefectVersion();
    const countCall = callMetrics(metrics);
    this.client = createClient(config, config.PREFECT_API_URL, {
      tracing,
      onCall: (call) => {
        countCall(call);
        onCallError(call.error);
        if (call.error === undefined) prefectVersion.prefectAnswered();
      },
    });
    readClient(metrics, this.client);
    const app = createApp({
      config,
      client: this.client,
      logger,
      hint,
      standby: options.standby,
      prefectVersion,
      draining: this.draining.signal,
      closing: this.closing.signal,
      cutting: this.cutting.signal,
      tracing,
      observers: [requestMetrics(metrics), ...(observe ? [observe] : [])],
      metrics,
      scrape,
    });
    this.listener = getRequestListener(app.fetch, {
      // That there is one is checked with the rest of a request.
      hostname: 'localhost',
      errorHandler: (error) => unroutable(error, logger),
    });
    if (options.learnVersion) prefectVersion.learn(this.client);
  }

  /** Serves one request. */
  readonly handle = (request: IncomingMessage, response: ServerResponse): void => {
    this.underWay += 1;
    response.once('close', () => {
      this.underWay -= 1;
      if (this.underWay === 0) this.onIdle();
    });
    void this.listener(request, response);
  };

  /** From now on it says that it is not ready. */
  drain(): void {
    this.draining.abort();
  }

  /** Answers those who wait for a run. */
  endWaits(): void {
    this.closing.abort();
  }

  /** Answers every request that is under way or waits for its turn. */
  cut(): void {
    this.cutting.abort();
  }

  /** Closes the connections to Prefect. @param limitMs how long that may take */
  async closeClient(limitMs: number): Promise<void> {
    this.clientClosed ??= this.client.close();
    await Promise.race([this.clientClosed, sleep(Math.max(limitMs, 0), undefined, { ref: false })]);
  }

  /**
   * Ends it beside another one that serves from now on: waits for its requests.
   * @param limitMs after which they are answered 503
   * @returns how many these were
   */
  async retire(limitMs: number): Promise<number> {
    this.endWaits();
    const isLate = await this.idleWithin(limitMs);
    const late = isLate ? this.underWay : 0;
    if (isLate) this.cut();
    await this.closeClient(limitMs);
    return late;
  }

  private async idleWithin(limitMs: number): Promise<boolean> {
    if (this.underWay === 0) return false;
    const idle = new Promise<false>((resolve) => {
      this.onIdle = () => {
        resolve(false);
      };
    });
    return Promise.race([idle, sleep(limitMs, true, { ref: false })]);
  }
}
