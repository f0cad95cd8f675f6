import type { Config } from './config.js';
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
): Pick<EventStreamOptions, 'apiUrl' | 'apiKey' | 'authString'> {
  return { apiUrl, apiKey: config.PREFECT_API_KEY, authString: config.PREFECT_API_AUTH_STRING };
}
