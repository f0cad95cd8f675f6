import { readFileSync } from 'node:fs';
import { rootCertificates } from 'node:tls';
import type { Config } from './config.js';
import { isIgnoredHeader } from './config-network.js';
import type { Network } from './lib/outbound.js';
import { proxyFor } from './lib/proxy-rules.js';
import type { EventStreamOptions } from './prefect/event-stream.js';
import { PrefectClient, type PrefectClientOptions } from './prefect/client.js';

/** The client that a configuration asks for. @param watching who is told of its calls, and where they are traced */
export function createClient(
  config: Config,
  apiUrl: string,
  watching: Pick<PrefectClientOptions, 'onCall' | 'tracing'> = {},
): PrefectClient {
  return new PrefectClient({
    apiUrl,
    apiKey: config.PREFECT_API_KEY,
    authString: config.PREFECT_API_AUTH_STRING,
    customHeaders: sentHeaders(config),
    network: prefectNetwork(config, apiUrl),
    timeoutSeconds: config.PREFECT_API_TIMEOUT,
    retry: config.PREFECT_API_RETRY,
    retryDelaySeconds: config.PREFECT_API_RETRY_DELAY,
    connections: config.PREFECT_API_CONNECTIONS,
    queue: config.PREFECT_API_QUEUE,
    maxReplyBytes: config.PREFECT_API_MAX_REPLY_BYTES,
    ...watching,
  });
}

/** How the events websocket of a configuration's Prefect server is reached. */
export function eventsConnection(
  config: Config,
  apiUrl: string,
): Omit<EventStreamOptions, 'onEnded' | 'onChange' | 'stateTypes' | 'backfill'> {
  return {
    apiUrl,
    apiKey: config.PREFECT_API_KEY,
    authString: config.PREFECT_API_AUTH_STRING,
    customHeaders: sentHeaders(config),
    network: prefectNetwork(config, apiUrl),
  };
}

/** As Prefect's own client: the file replaces the list of public authorities, and PREFECT_API_SSL_CERT_FILE wins. */
function prefectNetwork(config: Config, apiUrl: string): Network {
  const file = config.PREFECT_API_SSL_CERT_FILE ?? config.SSL_CERT_FILE;
  return {
    proxy: URL.canParse(apiUrl) ? proxyFor(apiUrl, config) : undefined,
    ca: file === undefined ? undefined : [readFileSync(file, 'utf8')],
    isInsecure: config.PREFECT_API_TLS_INSECURE_SKIP_VERIFY,
  };
}

/**
 * The host may have a public certificate where Prefect has a private one: the files come beside the public authorities.
 * Prefect's switch does not count: what goes to the host holds a key, and may go another way.
 */
export function hostNetwork(config: Config, url: string): Network {
  const files = [config.PREFECT_API_SSL_CERT_FILE, config.SSL_CERT_FILE].filter((file) => file !== undefined);
  return {
    proxy: proxyFor(url, config),
    ca:
      files.length === 0
        ? undefined
        : [...rootCertificates, ...files.map((file) => readFileSync(file, 'utf8'))],
    isInsecure: config.HOST_WEBHOOK_TLS_INSECURE_SKIP_VERIFY,
  };
}

function sentHeaders({ PREFECT_CLIENT_CUSTOM_HEADERS: headers }: Config): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !isIgnoredHeader(name)));
}
