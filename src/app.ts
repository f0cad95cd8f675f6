import { OpenAPIHono } from '@hono/zod-openapi';
import { acceptedHosts } from './app/accepted-hosts.js';
import type { Config } from './config.js';
import { eventsConnection } from './create-client.js';
import { BrowserGuard } from './http/browser-guard.js';
import { addDocs } from './http/docs.js';
import { Doors } from './http/doors.js';
import type { Env } from './http/env.js';
import { InFlight } from './http/in-flight.js';
import { apiKeyMatcher } from './http/keys.js';
import { Router, type App } from './http/router.js';
import { separatePath } from './http/routing.js';
import type { Reporting } from './http/served.js';
import { Metrics } from './metrics/metrics.js';
import { readDoors, readEventStream, readNotifications, readPolls, readWatch } from './metrics/serving.js';
import { openApiDocument } from './openapi.js';
import type { PrefectClient } from './prefect/client.js';
import { STATE_TYPES } from './prefect/run-states.js';
import { EventStream } from './prefect/event-stream.js';
import { addAirbyteRoutes, addSecretRoutes } from './routes/blocks.js';
import { addDeliveryRoutes } from './routes/deliveries.js';
import { addDeploymentRoutes } from './routes/deployments.js';
import { addFollowRoutes } from './routes/follow.js';
import { addFlowRunListRoutes, addFlowRunRoutes } from './routes/flow-runs.js';
import { addRunDetailRoutes } from './routes/run-details.js';
import { addObservability } from './routes/observability.js';
import { addSyncRunRoutes } from './routes/sync-runs.js';
import { addSystemRoutes } from './routes/system.js';
import { addWebhookRoutes } from './routes/webhooks.js';
import type { RouteContext } from './routes/context.js';
import { BlockTypes } from './services/block-types.js';
import { deploymentDefaults } from './services/deployment-defaults.js';
import { RunFeeds } from './services/follow/feeds.js';
import { RunWatch, type RunWatchOptions } from './services/follow/run-watch.js';
import type { OnHint } from './services/hints.js';
import { Channel } from './services/settlement/channel.js';
import { Standby } from './services/settlement/standby.js';
import { RunPoller } from './services/poll.js';
import { Readiness } from './services/readiness.js';
import { SyncRuns } from './services/sync-runs.js';
import { PrefectVersion } from './services/system/prefect-version.js';

export interface AppDeps extends Reporting, Partial<EndingSignals> {
  config: Config;
  /** Where this process counts. */
  metrics?: Metrics | undefined;
  /** Makes the text of `/metrics`; that of this process alone where it is not given. */
  scrape?: (() => Promise<string>) | undefined;
  client: PrefectClient;
  /** Takes what the webhook hears. */
  hint: OnHint;
  /** Whether and why nothing is delivered at the moment; without one it is. */
  standby?: Standby | undefined;
  /** Remembers Prefect's version. */
  prefectVersion?: PrefectVersion | undefined;
}

/** The steps in which the service ends. */
export interface EndingSignals {
  /** It is to get no new requests: it says that it is not ready. */
  draining: AbortSignal;
  /** Those who wait for a run are answered at once. */
  closing: AbortSignal;
  /** Every request under way, or waiting for its turn, is answered at once. */
  cutting: AbortSignal;
}

/** The whole HTTP surface. Listens to nothing, reads no environment: what it needs is passed in. */
export function createApp(deps: AppDeps): App {
  const {
    config,
    client,
    hint,
    standby = new Standby(),
    draining,
    closing,
    cutting,
    scrape,
    metrics = new Metrics(),
    ...plain
  } = deps;
  const inFlight = new InFlight();
  const reporting = { ...plain, inFlight };
  const app: App = new OpenAPIHono<Env>({ getPath: separatePath });
  const { logger } = reporting;
  const hasKey = apiKeyMatcher(config.PROXY_API_KEY);
  const doors = new Doors({
    inFlight: config.MAX_REQUESTS_IN_FLIGHT,
    queued: config.MAX_REQUESTS_QUEUED,
    queueSeconds: config.REQUEST_QUEUE_TIMEOUT,
    waiters: config.MAX_WAITERS,
  });
  const maxBodyBytes = config.MAX_BODY_BYTES;
  const guard = new BrowserGuard({
    allowedOrigins: config.PROXY_ALLOWED_ORIGINS,
    isAcceptedHost: acceptedHosts(config),
  });
  const router = new Router(app, { ...reporting, guard, client, hasKey, maxBodyBytes, doors });
  router.addOpen('/healthz', () => '{"status":"ok"}');
  addObservability({
    router,
    hasKey,
    readiness: new Readiness({ client, draining }),
    warnings: () => (standby.reason === undefined ? [] : [standby.reason]),
    scrape: scrape ?? (() => metrics.text()),
  });
  const limits = { size: client, ceiling: config.LIST_CEILING };
  const poller = new RunPoller();
  const defaults = deploymentDefaults(config);
  const watch = runWatch(deps, poller, metrics);
  readDoors(metrics, doors);
  readPolls(metrics, poller);
  readWatch(metrics, watch);
  const counts = { understood: 0, notUnderstood: 0 };
  readNotifications(metrics, counts);
  closing?.addEventListener('abort', () => {
    watch.close();
  });
  cutting?.addEventListener('abort', () => {
    doors.close();
    inFlight.end();
  });
  addRoutes({
    router,
    limits,
    blockTypes: new BlockTypes(),
    allowsSecretRead: config.ALLOW_SECRET_READ,
    poller,
    runWatch: watch,
    feeds: new RunFeeds({ client, limits, watch }),
    deploymentDefaults: defaults,
    syncRuns: new SyncRuns({
      client,
      limits,
      watch,
      defaults,
      notify: config.HOST_WEBHOOK_SYNC_RUNS,
      timeoutSeconds: config.SYNC_RUN_TIMEOUT,
      startTimeoutSeconds: config.SYNC_RUN_START_TIMEOUT,
    }),
    notifications: {
      keys: config.PREFECT_NOTIFICATIONS_WEBHOOK_KEY,
      hint,
      counts,
      logger,
    },
    delivering: {
      hint,
      channel: new Channel(config.HOST_WEBHOOK_NAME),
      isOffBecause: () => notDelivering(config) ?? standby.reason,
    },
    prefectVersion: deps.prefectVersion ?? new PrefectVersion(),
  });
  let document: string | undefined;
  router.addOpen('/openapi.json', () => (document ??= JSON.stringify(openApiDocument(app))));
  addDocs(router);
  router.addFallback();
  return app;
}

/** What tells those who wait that a run has changed. Its connection is there only while somebody waits. */
function runWatch({ config, client, logger }: AppDeps, poller: RunPoller, metrics: Metrics): RunWatch {
  const hear: RunWatchOptions['hear'] = ({ onChange, onState }) => {
    const events = new EventStream({
      ...eventsConnection(config, config.PREFECT_API_URL ?? ''),
      stateTypes: STATE_TYPES,
      backfill: false,
      onEnded: onState,
      onChange: (isOpen, reason) => {
        if (!isOpen) logger.warn('event stream of those who wait', { open: false, reason });
        onChange(isOpen);
      },
    });
    readEventStream(metrics, events, 'waiting');
    return events;
  };
  return new RunWatch({ client, poller, hear });
}

/** In the order of the existing proxy: where two patterns match a path, the first one counts. */
function addRoutes(context: RouteContext): void {
  addAirbyteRoutes(context);
  addSecretRoutes(context);
  addDeploymentRoutes(context);
  addFlowRunListRoutes(context);
  addFlowRunRoutes(context);
  addRunDetailRoutes(context);
  addSystemRoutes(context);
  addWebhookRoutes(context);
  addDeliveryRoutes(context);
  addFollowRoutes(context);
  addSyncRunRoutes(context);
}

/** Why this facade tells no host that a run has ended. */
function notDelivering({ HOST_WEBHOOK_URL: url, RECONCILE_INTERVAL: interval }: Config): string | undefined {
  if (url === undefined) return 'HOST_WEBHOOK_URL is not set: there is no host to tell';
  return interval === 0 ? 'RECONCILE_INTERVAL is 0: this facade settles no runs' : undefined;
}
