import { createServer, type Server, type ServerResponse } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { createApp } from './app.js';
import { loadConfig, type Config } from './config.js';
import type { Logger } from './logger.js';
import { openApiDocument } from './openapi.js';
import { PrefectClient } from './prefect/client.js';
import type { OnHint } from './services/hints.js';

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
  /** Takes what the webhook hears; without one it is let go. */
  hint?: OnHint;
}

/** Starts the facade. @throws Error where the address cannot be listened on */
export async function serve({ config, logger, port, hint = () => {} }: ServeOptions): Promise<Facade> {
  const client = createClient(config, config.PREFECT_API_URL);
  const app = createApp({ config, client, logger, hint });
  const listener = getRequestListener(app.fetch);
  const server = createServer((request, response) => void listener(request, response));
  const drain = drainer(server);
  const host = config.PREFECT_PROXY_API_HOST;
  const listening = await listen(server, port, host);
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${listening}`,
    close: async () => {
      await drain();
      await client.close();
    },
  };
}

/** The OpenAPI document, without serving. */
export function describeApi(): unknown {
  const config = loadConfig({});
  const silent: Logger = { info: () => {}, warn: () => {}, error: () => {}, close: () => Promise.resolve() };
  const client = createClient(config, 'http://127.0.0.1/api');
  return openApiDocument(createApp({ config, client, logger: silent, hint: () => {} }));
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

/** Ends a server when the requests under way are answered: idle and silent connections do not hold it up. */
function drainer(server: Server): () => Promise<void> {
  const underWay = new Set<ServerResponse>();
  let isEnding = false;
  server.on('request', (_request, response) => {
    underWay.add(response);
    response.shouldKeepAlive &&= !isEnding;
    response.once('close', () => {
      underWay.delete(response);
      if (isEnding && underWay.size === 0) server.closeAllConnections();
    });
  });
  return () =>
    new Promise((resolve) => {
      isEnding = true;
      server.close(() => {
        resolve();
      });
      for (const response of underWay) response.shouldKeepAlive = false;
      if (underWay.size === 0) server.closeAllConnections();
    });
}

function listen(server: Server, port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address ? address.port : port);
    });
  });
}
