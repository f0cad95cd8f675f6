import { createServer, type Server } from 'node:http';
import { createApp } from './app.js';
import { createClient } from './create-client.js';
import { loadConfig, type Config } from './config.js';
import { pace } from './http/pace.js';
import { limitPipelining } from './http/pipelining.js';
import { guardWire, wireLimits } from './http/wire.js';
import type { Logger } from './logger.js';
import { Metrics } from './metrics/metrics.js';
import { readServer } from './metrics/serving.js';
import { openApiDocument } from './openapi.js';
import { socketPath, urlOf, type Address } from './process/address.js';
import { AppRuntime } from './server/app-runtime.js';
import { Drainer } from './server/drainer.js';
import { FileLimit, keepFilesFree } from './server/file-limit.js';
import type { OnHint } from './services/hints.js';
import type { Standby } from './services/settlement/standby.js';
import { NO_TELEMETRY, type Telemetry } from './telemetry/telemetry.js';

export interface Facade {
  /** Where it listens, e.g. `http://127.0.0.1:8080`, or `unix:/path/to/socket`. */
  url: string;
  /**
   * Ends it: for DRAIN_DELAY it says that it is not ready, and goes on serving; then it takes no new connections,
   * finishes the requests under way, and closes the connections to the orchestrator. Requests that are under way when
   * GRACEFUL_TIMEOUT is over are answered 503.
   */
  close(options?: CloseOptions): Promise<void>;
}

/** A facade that can take another configuration. */
export interface ServingFacade extends Facade {
  /**
   * Serves by another configuration from now on; requests under way are finished by the old one, within its
   * GRACEFUL_TIMEOUT. The address stays.
   */
  reload(config: ServeOptions['config']): Promise<void>;
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
  /** Whether and why nothing is delivered at the moment; without one it is. */
  standby?: Standby | undefined;
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
export async function serve(options: ServeOptions): Promise<ServingFacade> {
  const { logger, hint = () => {}, onRequest, telemetry = NO_TELEMETRY, learnVersion } = options;
  const { metrics = new Metrics() } = options;
  const { scrape = () => metrics.text() } = options;
  let { config } = options;
  readServer(metrics);
  const files = new FileLimit(logger, metrics);
  const begin = () => {
    const part = metrics.part();
    const onCallError = (error: unknown) => {
      files.note('connect', error);
    };
    const { standby } = options;
    const shared = { logger, hint, standby, learnVersion, telemetry, scrape, onCallError };
    const runtime = new AppRuntime({ ...shared, config, metrics: part });
    return { runtime, part };
  };
  const server = createServer(wireLimits(config));
  let serving = begin();
  const isProbe = (path: string) => path === '/healthz' || path === '/readyz';
  pace(
    server,
    (request, response) => {
      serving.runtime.handle(request, response);
    },
    isProbe,
  );
  guardWire(server, logger);
  limitPipelining(server, () => config.MAX_PIPELINED_REQUESTS);
  if (onRequest) server.on('request', onRequest);
  // Without a listener it would end the process.
  server.on('error', (error) => {
    files.note('accept', error);
  });
  keepFilesFree(server, files, config.PREFECT_API_CONNECTIONS);
  const drainer = new Drainer(server);
  const address = { host: config.PREFECT_PROXY_API_HOST, port: options.port };
  const port = await listen(server, address);
  return {
    url: urlOf({ ...address, port }),
    reload: async (next) => {
      const { runtime, part } = serving;
      const limitMs = config.GRACEFUL_TIMEOUT * 1000;
      config = next;
      serving = begin();
      const { keepAliveTimeout = 0, requestTimeout = 0, headersTimeout = 0 } = wireLimits(config);
      Object.assign(server, { keepAliveTimeout, requestTimeout, headersTimeout });
      logger.info('reloaded');
      warnOfCut(await runtime.retire(limitMs), logger);
      await metrics.retire(part);
    },
    close: async ({ replaced = false } = {}) => {
      const { runtime } = serving;
      const limitMs = config.GRACEFUL_TIMEOUT * 1000;
      const delayMs = replaced ? 0 : config.DRAIN_DELAY * 1000;
      const until = performance.now() + delayMs + limitMs;
      // Where another process serves in its place, the service as a whole is ready.
      if (!replaced) runtime.drain();
      const idleMs = replaced ? server.keepAliveTimeout + 2_000 : IDLE_GRACE;
      await drainer.drain(
        { delayMs, idleMs, limitMs },
        {
          onListenerClosed: () => {
            runtime.endWaits();
          },
          onLimit: (requests) => {
            warnOfCut(requests, logger);
            runtime.cut();
          },
        },
      );
      await runtime.closeClient(until - performance.now());
      files.close();
    },
  };
}

function warnOfCut(requests: number, logger: Logger): void {
  if (requests > 0) logger.warn('requests answered 503: GRACEFUL_TIMEOUT is over', { requests });
}

/** The OpenAPI document, without serving. */
export function describeApi(): unknown {
  // Nothing is asked there: it only has to be an address.
  const apiUrl = 'http://127.0.0.1/api';
  const config = { ...loadConfig({}), PREFECT_API_URL: apiUrl };
  const silent: Logger = { info: () => {}, warn: () => {}, error: () => {}, close: () => Promise.resolve() };
  const client = createClient(config, apiUrl);
  return openApiDocument(createApp({ config, client, logger: silent, hint: () => {} }));
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
