import { createAdaptorServer, type ServerType } from '@hono/node-server';
import { createApp } from './app.js';
import { loadConfig, type Config } from './config.js';
import type { Logger } from './logger.js';
import { openApiDocument } from './openapi.js';
import { PrefectClient } from './prefect/client.js';

export interface Facade {
  /** Where it listens, e.g. `http://127.0.0.1:8080`. */
  url: string;
  /** Takes no new requests, finishes those under way, closes the connections to the orchestrator. */
  close(): Promise<void>;
}

export interface ServeOptions {
  config: Config & { PREFECT_API_URL: string };
  logger: Logger;
  port: number;
}

/** Starts the facade. @throws Error where the address cannot be listened on */
export async function serve({ config, logger, port }: ServeOptions): Promise<Facade> {
  const client = createClient(config, config.PREFECT_API_URL);
  const app = createApp({ config, client, logger });
  const server = createAdaptorServer({ fetch: app.fetch });
  const host = config.PREFECT_PROXY_API_HOST;
  const listening = await listen(server, port, host);
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${listening}`,
    close: async () => {
      await new Promise<void>((resolve) => {
        server.close(() => {
          resolve();
        });
        if ('closeIdleConnections' in server) server.closeIdleConnections();
      });
      await client.close();
    },
  };
}

/** The OpenAPI document, without serving. */
export function describeApi(): unknown {
  const config = loadConfig({});
  const silent: Logger = { info: () => {}, warn: () => {}, error: () => {}, close: () => Promise.resolve() };
  const client = createClient(config, 'http://127.0.0.1/api');
  return openApiDocument(createApp({ config, client, logger: silent }));
}

/** The client that a configuration asks for. */
export function createClient(config: Config, apiUrl: string): PrefectClient {
  return new PrefectClient({
    apiUrl,
    apiKey: config.PREFECT_API_KEY,
    authString: config.PREFECT_API_AUTH_STRING,
    timeoutSeconds: config.PREFECT_API_TIMEOUT,
    retry: config.PREFECT_API_RETRY,
    retryDelaySeconds: config.PREFECT_API_RETRY_DELAY,
    connections: config.PREFECT_API_CONNECTIONS,
    queue: config.PREFECT_API_QUEUE,
  });
}

function listen(server: ServerType, port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address ? address.port : port);
    });
  });
}
