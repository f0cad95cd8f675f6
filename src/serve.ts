import { createServer, type Server, type ServerResponse } from 'node:http';
import { Server as NetServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { getRequestListener } from '@hono/node-server';
import { createApp } from './app.js';
import { createClient } from './create-client.js';
import { loadConfig, type Config } from './config.js';
import { pace } from './http/pace.js';
import { guardWire, unroutable, wireLimits } from './http/wire.js';
import type { Logger } from './logger.js';
import { Metrics } from './metrics/metrics.js';
import { callMetrics, readClient, readServer, requestMetrics } from './metrics/serving.js';
import { openApiDocument } from './openapi.js';
import { socketPath, urlOf, type Address } from './process/address.js';
import type { OnHint } from './services/hints.js';
import { PrefectVersion } from './services/system/prefect-version.js';
import { NO_TELEMETRY, type Telemetry } from './telemetry/telemetry.js';

export interface Facade {
  /** Where it listens, e.g. `http://127.0.0.1:8080`, or `unix:/path/to/socket`. */
  url: string;
  /**
   * Takes no new connections, finishes the requests under way, closes the connections to the orchestrator; within
   * GRACEFUL_TIMEOUT, after which it cuts what is left.
   */
  close(options?: CloseOptions): Promise<void>;
}

export interface CloseOptions {
  /** Another process serves in its place: connections that idle are left until they end by themselves. */
  replaced?: boolean;
}

export interface ServeOptions {
  config: Config & { PREFECT_API_URL: string };
  logger: Logger;
  port: number;
  /** Takes what the webhook hears; without one it is let go. */
  hint?: OnHint;
  /** Asks for Prefect's version at the start, in the background, so that it is known if Prefect is away later. */
  learnVersion?: boolean;
  /** Called at each request. */
  onRequest?: () => void;
  /** Traces and error reports; without it there are none. Whoever started it closes it. */
  telemetry?: Telemetry;
  /** Where this process counts. */
  metrics?: Metrics;
  /** Makes the text of `/metrics`, where more than this process counts. */
  scrape?: () => Promise<string>;
}

/**
 * Connections that may come at once; the system's own limit (`net.core.somaxconn`) counts where it is lower. More wait
 * for the client's next try, a second later. Node's default is 511.
 */
const BACKLOG = 4096;
/** In milliseconds: for the next request of a client that sent it before it could know of the end. */
const IDLE_GRACE = 500;

/** Starts the facade. @throws Error where the address cannot be listened on */
export async function serve(options: ServeOptions): Promise<Facade> {
  const { config, logger, hint = () => {}, onRequest, telemetry = NO_TELEMETRY } = options;
  const { metrics = new Metrics(), scrape } = options;
  const { tracing, observe } = telemetry;
  const prefectVersion = new PrefectVersion();
  const countCall = callMetrics(metrics);
  const client = createClient(config, config.PREFECT_API_URL, {
    tracing,
    onCall: (call) => {
      countCall(call);
      if (call.error === undefined) prefectVersion.prefectAnswered();
    },
  });
  readServer(metrics);
  readClient(metrics, client);
  const closing = new AbortController();
  const app = createApp({
    config,
    client,
    logger,
    hint,
    prefectVersion,
    closing: closing.signal,
    tracing,
    observers: [requestMetrics(metrics), ...(observe ? [observe] : [])],
    metrics,
    scrape,
  });
  const listener = getRequestListener(app.fetch, {
    // That there is one is checked with the rest of a request.
    hostname: 'localhost',
    errorHandler: (error) => unroutable(error, logger),
  });
  const server = createServer(wireLimits(config));
  const isProbe = (path: string) => path === '/healthz' || path === '/readyz';
  pace(server, (request, response) => void listener(request, response), isProbe);
  guardWire(server, logger);
  if (onRequest) server.on('request', onRequest);
  const drain = drainer(server);
  const address = { host: config.PREFECT_PROXY_API_HOST, port: options.port };
  const port = await listen(server, address);
  if (options.learnVersion) prefectVersion.learn(client);
  let clientClosed: Promise<void> | undefined;
  return {
    url: urlOf({ ...address, port }),
    close: async ({ replaced = false } = {}) => {
      closing.abort();
      const started = performance.now();
      const limit = config.GRACEFUL_TIMEOUT * 1000;
      const cut = await drain(replaced ? server.keepAliveTimeout + 2_000 : IDLE_GRACE, limit);
      if (cut > 0) logger.warn('requests cut, GRACEFUL_TIMEOUT is over', { requests: cut });
      const left = limit - (performance.now() - started);
      await Promise.race([
        (clientClosed ??= client.close()),
        sleep(Math.max(left, 0), undefined, { ref: false }),
      ]);
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

/**
 * Makes what ends a server: requests under way are answered, and so is one more on each connection that idles, with
 * `connection: close`; connections that idle longer are closed. Resolves with the number of requests that were cut.
 */
function drainer(server: Server): (idleMs: number, limitMs: number) => Promise<number> {
  const underWay = new Set<ServerResponse>();
  let isEnding = false;
  let isGraceOver = false;
  server.on('request', (_request, response) => {
    underWay.add(response);
    response.shouldKeepAlive &&= !isEnding;
    response.once('close', () => {
      underWay.delete(response);
      if (isGraceOver && underWay.size === 0) server.closeAllConnections();
    });
  });
  return (idleMs, limitMs) =>
    new Promise((resolve) => {
      let cut = 0;
      isEnding = true;
      for (const response of underWay) response.shouldKeepAlive = false;
      const idle = setTimeout(
        () => {
          isGraceOver = true;
          server.closeIdleConnections();
          // Those that never said anything do not count as idle.
          if (underWay.size === 0) server.closeAllConnections();
        },
        Math.min(idleMs, limitMs),
      );
      const limit = setTimeout(() => {
        cut = underWay.size;
        server.closeAllConnections();
      }, limitMs);
      // Not the HTTP server's own `close`: that ends idle connections at once, under the next request of a client.
      NetServer.prototype.close.call(server, () => {
        clearTimeout(idle);
        clearTimeout(limit);
        resolve(cut);
      });
    });
}

function listen(server: Server, { host, port }: Address): Promise<number> {
  const path = socketPath(host);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const where = path === undefined ? { host, port } : { path };
    server.listen({ ...where, backlog: BACKLOG }, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address ? address.port : port);
    });
  });
}
