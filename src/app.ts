import { OpenAPIHono } from '@hono/zod-openapi';
import type { Config } from './config.js';
import type { Env } from './http/env.js';
import { Router, type App } from './http/router.js';
import { separatePath } from './http/routing.js';
import type { Logger } from './logger.js';
import { openApiDocument } from './openapi.js';
import type { PrefectClient } from './prefect/client.js';
import { addAirbyteRoutes, addSecretRoutes } from './routes/blocks.js';
import { addDeliveryRoutes } from './routes/deliveries.js';
import { addDeploymentRoutes } from './routes/deployments.js';
import { addFlowRunListRoutes, addFlowRunRoutes } from './routes/flow-runs.js';
import { addRunDetailRoutes } from './routes/run-details.js';
import { addSystemRoutes } from './routes/system.js';
import { addWebhookRoutes } from './routes/webhooks.js';
import type { RouteContext } from './routes/context.js';
import { BlockTypes } from './services/block-types.js';
import { deploymentDefaults } from './services/deployment-defaults.js';
import type { OnHint } from './services/hints.js';
import { RunPoller } from './services/poll.js';

export interface AppDeps {
  config: Config;
  client: PrefectClient;
  logger: Logger;
  /** Takes what the webhook hears. */
  hint: OnHint;
}

/** The whole HTTP surface. Listens to nothing, reads no environment: what it needs is passed in. */
export function createApp({ config, client, logger, hint }: AppDeps): App {
  const app: App = new OpenAPIHono<Env>({ getPath: separatePath });
  const router = new Router(app, { client, logger, maxBodyBytes: config.MAX_BODY_BYTES });
  router.addOwn('/healthz', () => '{"status":"ok"}');
  addRoutes({
    router,
    limits: { size: client, ceiling: config.LIST_CEILING },
    blockTypes: new BlockTypes(),
    poller: new RunPoller(),
    deploymentDefaults: deploymentDefaults(config),
    notifications: {
      keys: config.PREFECT_NOTIFICATIONS_WEBHOOK_KEY,
      hint,
      counts: { understood: 0, notUnderstood: 0 },
      logger,
    },
    delivering: { hint, isOffBecause: notDelivering(config) },
  });
  let document: string | undefined;
  router.addOwn('/openapi.json', () => (document ??= JSON.stringify(openApiDocument(app))));
  router.addFallback();
  return app;
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
}

/** Why this facade tells no host that a run has ended. */
function notDelivering({ HOST_WEBHOOK_URL: url, RECONCILE_INTERVAL: interval }: Config): string | undefined {
  if (url === undefined) return 'HOST_WEBHOOK_URL is not set: there is no host to tell';
  return interval === 0 ? 'RECONCILE_INTERVAL is 0: this facade settles no runs' : undefined;
}
