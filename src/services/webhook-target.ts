import type { Config } from '../config.js';

/** Where the facade takes the orchestrator's webhook. */
const RECEIVER = '/webhooks/v1/notification/';

/** Where the orchestrator is to post, and what it is to show. */
export interface WebhookTarget {
  url: string;
  key: string;
}

/** What has to be set before the webhook can be registered. Safe to show: holds no key. */
export class WebhookSetupError extends Error {}

/**
 * The webhook that a configuration asks for.
 * @param facadeUrl where the facade listens
 * @throws WebhookSetupError that says which variable is missing
 */
export function webhookTarget(config: Config, facadeUrl: string): WebhookTarget {
  const url = receiverUrl(config, facadeUrl);
  const [key] = config.PREFECT_NOTIFICATIONS_WEBHOOK_KEY;
  if (key === undefined) throw new WebhookSetupError('PREFECT_NOTIFICATIONS_WEBHOOK_KEY is not set');
  if (!/^[\x20-\x7e]+$/.test(key)) {
    throw new WebhookSetupError(
      'PREFECT_NOTIFICATIONS_WEBHOOK_KEY: Prefect sends header values of plain ASCII only',
    );
  }
  return { url, key };
}

function receiverUrl(config: Config, facadeUrl: string): string {
  if (config.WEBHOOK_PUBLIC_URL) {
    const { username, password } = new URL(config.WEBHOOK_PUBLIC_URL);
    if (username || password)
      throw new WebhookSetupError('WEBHOOK_PUBLIC_URL: credentials would show in logs');
    return config.WEBHOOK_PUBLIC_URL.replace(/\/webhooks\/.*$/, '') + RECEIVER;
  }
  const ask = 'set WEBHOOK_PUBLIC_URL to where Prefect reaches the facade';
  const host = hostOf(facadeUrl);
  if (host === undefined || host === '0.0.0.0' || host === '[::]') {
    throw new WebhookSetupError(`the facade listens on ${facadeUrl}, which is no address to post to: ${ask}`);
  }
  // Registered all the same, it would take the webhook away from a facade that the orchestrator does reach.
  const prefect = hostOf(config.PREFECT_API_URL ?? '');
  if (isLoopback(host) && prefect !== undefined && !isLoopback(prefect)) {
    throw new WebhookSetupError(
      `the facade listens on ${host} and Prefect is on ${prefect}, where that is another machine: ${ask}`,
    );
  }
  return new URL(facadeUrl).origin + RECEIVER;
}

/** The host of an http(s) URL; undefined for a socket's path and the like. */
function hostOf(url: string): string | undefined {
  if (!/^https?:\/\//.test(url) || !URL.canParse(url)) return undefined;
  return new URL(url).hostname;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127(\.\d+){3}$/.test(host);
}
