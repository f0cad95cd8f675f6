import type { Config } from '../config.js';
import type { Logger } from '../logger.js';
import { version } from '../prefect/admin.js';
import type { PrefectClient } from '../prefect/client.js';
import { UpstreamError } from '../prefect/errors.js';
import { removeWebhook } from './webhook-registration.js';
import { registerWebhook } from './webhook-start.js';

export interface WebhookSourceOptions {
  config: Config & { PREFECT_API_URL: string };
  client: PrefectClient;
  logger: Logger;
}

/** Attempts in a row that the events websocket may fail before Prefect is asked whether it is there at all. */
const FAILED_ATTEMPTS = 3;
/** How long the websocket must stay open before a webhook that was registered in its place is removed. */
const STABLE_MS = 60_000;

/**
 * Decides whether Prefect is asked to send a webhook for each run that ends. On Prefect 3.8.8 the automation behind it
 * costs the server up to three quarters of its throughput, so by default (`WEBHOOK_AUTO_REGISTER=auto`) it is registered
 * only while the events websocket cannot be opened although Prefect answers: an older server, or a proxy that forbids
 * websockets. Once the websocket is open, an automation of an earlier start is removed.
 */
export class WebhookSource {
  private readonly closing = new AbortController();
  private facadeUrl: string | undefined;
  private isOpen = false;
  private failures = 0;
  private prefectAnswers = false;
  /** Ends the attempts to register. */
  private registering: AbortController | undefined;
  private hasChecked = false;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly options: WebhookSourceOptions) {}

  /** The facade listens. @param url where */
  listening(url: string): void {
    this.facadeUrl = url;
    if (this.options.config.WEBHOOK_AUTO_REGISTER === true) this.register();
  }

  /** Takes each change of the events websocket: it opened, was lost, or could not be opened once more. */
  eventsChanged(isOpen: boolean): void {
    if (this.options.config.WEBHOOK_AUTO_REGISTER !== 'auto') return;
    this.isOpen = isOpen;
    clearTimeout(this.timer);
    if (isOpen) {
      this.failures = 0;
      this.prefectAnswers = false;
      if (!this.hasChecked || this.registering) this.removeIn(this.registering ? STABLE_MS : 0);
    } else {
      this.failures += 1;
      if (this.failures >= FAILED_ATTEMPTS) void this.fallBack();
    }
  }

  close(): void {
    this.closing.abort();
    this.registering?.abort();
    clearTimeout(this.timer);
  }

  /** One more attempt must fail after Prefect has answered: a server that starts answers before it takes websockets. */
  private async fallBack(): Promise<void> {
    const { client, logger } = this.options;
    if (this.registering || this.facadeUrl === undefined) return;
    if (this.prefectAnswers) {
      logger.warn('the events websocket cannot be opened: the webhook is registered instead', {
        event: 'webhook.fallback',
      });
      this.register();
      return;
    }
    const answers = await version(client.session()).then(
      () => true,
      () => false,
    );
    this.prefectAnswers = answers && !this.isOpen;
  }

  private register(): void {
    if (this.facadeUrl === undefined || this.closing.signal.aborted) return;
    this.registering = new AbortController();
    const { signal } = this.registering;
    void registerWebhook({ ...this.options, facadeUrl: this.facadeUrl, signal });
  }

  private removeIn(milliseconds: number): void {
    this.timer = setTimeout(() => {
      void this.remove();
    }, milliseconds);
  }

  private async remove(): Promise<void> {
    const { client, logger } = this.options;
    this.registering?.abort();
    this.registering = undefined;
    try {
      for (const { what, id } of await removeWebhook(client))
        logger.info(`webhook: ${what} deleted, the events websocket takes its place`, {
          event: 'webhook.removed',
          id,
        });
      this.hasChecked = true;
    } catch (error) {
      logger.warn('the webhook could not be removed', {
        event: 'webhook.not_removed',
        error: error instanceof UpstreamError ? error.message : 'unexpected',
      });
      if (!this.closing.signal.aborted && this.isOpen) this.removeIn(STABLE_MS);
    }
  }
}
