import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config.js';
import type { Logger } from '../logger.js';
import type { PrefectClient } from '../prefect/client.js';
import { UpstreamError } from '../prefect/errors.js';
import { ensureWebhook } from './webhook-registration.js';
import { WebhookSetupError, webhookTarget } from './webhook-target.js';

export interface StartOptions {
  config: Config & { PREFECT_API_URL: string };
  client: PrefectClient;
  /** Where the facade listens. */
  facadeUrl: string;
  logger: Logger;
  /** Gives up. */
  signal?: AbortSignal;
}

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 60_000;

/**
 * Registers the webhook. Resolves when it is registered or cannot be; tries again, with back-off, for as long as Prefect
 * does not answer. Never throws: all that happens is a line in the log.
 */
export async function registerWebhook(options: StartOptions): Promise<void> {
  const { config, client, facadeUrl, logger, signal } = options;
  const isOver = () => signal?.aborted === true;
  for (let wait = FIRST_WAIT_MS; !isOver(); wait = Math.min(2 * wait, LONGEST_WAIT_MS)) {
    try {
      const target = webhookTarget(config, facadeUrl);
      for (const { what, id, done, fields } of await ensureWebhook(client, target))
        logger.info(`webhook: ${what} ${done}`, { id, url: target.url, fields: fields?.join() });
      return;
    } catch (error) {
      if (isOver()) return;
      const canRecover = isPassing(error);
      logger.warn('webhook not registered', {
        reason: error instanceof Error ? error.message : 'unknown',
        retry_in_ms: canRecover ? wait : undefined,
      });
      if (!canRecover) return;
      await sleep(wait * (0.5 + Math.random() / 2), undefined, { signal, ref: false }).catch(() => undefined);
    }
  }
}

/** The orchestrator is not there, or overloaded. */
function isPassing(error: unknown): boolean {
  if (error instanceof WebhookSetupError || !(error instanceof UpstreamError)) return false;
  return error.failure !== 'status' || error.status === 429 || (error.status ?? 0) >= 500;
}
