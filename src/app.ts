import { OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { Config } from './config.js';
import { AppError, errorReply } from './errors.js';
import { requestLog } from './http/request-log.js';
import { jsonReply, type Env } from './http/reply.js';
import { Router, type App } from './http/router.js';
import { allowedMethod, separatePath } from './http/routing.js';
import { stringifyJson } from './json.js';
import type { Logger } from './logger.js';
import { openApiDocument } from './openapi.js';
import type { PrefectClient } from './prefect/client.js';
import { addAirbyteRoutes, addSecretRoutes } from './routes/blocks.js';
import { addDeploymentRoutes } from './routes/deployments.js';
import { addFlowRunListRoutes, addFlowRunRoutes } from './routes/flow-runs.js';
import { addRunDetailRoutes } from './routes/run-details.js';
import { addSystemRoutes } from './routes/system.js';
import type { RouteContext } from './routes/context.js';
import { BlockTypes } from './services/block-types.js';
import { deploymentDefaults } from './services/deployment-defaults.js';
import { RunPoller } from './services/poll.js';

export interface AppDeps {
  config: Config;
  client: PrefectClient;
  logger: Logger;
}

/** The whole HTTP surface. Listens to nothing, reads no environment: what it needs is passed in. */
export function createApp({ config, client, logger }: AppDeps): App {
  const app: App = new OpenAPIHono<Env>({ getPath: separatePath });

  app.use('*', requestLog(logger));
  const fail = (error: unknown, c: Context<Env>) => {
    const state = c.get('state');
    state.error = error instanceof AppError ? error.cause : error;
    const { status, headers, body } = errorReply(error, state.requestId);
    return jsonReply(c, stringifyJson(body), status, headers);
  };
  app.onError(fail);
  app.notFound((c) => fail(unknownRoute(app, c.req.path), c));

  app.get('/healthz', (c) => {
    c.get('state').route = '/healthz';
    return jsonReply(c, '{"status":"ok"}');
  });
  addRoutes({
    router: new Router(app, { client, maxBodyBytes: config.MAX_BODY_BYTES }),
    limits: { size: client, ceiling: config.LIST_CEILING },
    blockTypes: new BlockTypes(),
    poller: new RunPoller(),
    deploymentDefaults: deploymentDefaults(config),
  });
  const document = JSON.stringify(openApiDocument(app));
  app.get('/openapi.json', (c) => {
    c.get('state').route = '/openapi.json';
    return jsonReply(c, document);
  });
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
}

function unknownRoute(app: App, path: string): AppError {
  const allow = allowedMethod(app.routes, path);
  if (allow === undefined) return new AppError('not_found', 'Not Found');
  return new AppError('method_not_allowed', 'Method Not Allowed', { headers: { allow } });
}
