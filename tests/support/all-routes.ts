import type { Host, SendOptions } from './host.js';
import type { Seed } from './seed.js';
import { COMPLETED } from './seed.js';

/** Things that are there, for requests that succeed. */
export interface Good {
  name: (text: string) => string;
  server: string;
  secret: string;
  block: string;
  pool: string;
  deployment: string;
  doomedDeployment: string;
  run: string;
  doomedRun: string;
  queuedRun: string;
}

export interface RouteCase {
  id: string;
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** As the OpenAPI document writes it. */
  pattern: string;
  path: (good: Good) => string;
  body?: (good: Good) => unknown;
  /** What `detail` says when the orchestrator fails; where it is the orchestrator's own text, what is said without one. */
  detail: string | ((good: Good) => string);
  /** `detail` is the orchestrator's own text where it gives one. */
  ownText?: true;
  /** The answer to the orchestrator's 404 where it is not 404 with `detail`. */
  missing?: { status: number; json: (good: Good) => Record<string, unknown> };
  /** The orchestrator answers it with 204 and no body. */
  silent?: true;
}

const SERVER = '/proxy/blocks/airbyte/server/';
const SECRET = '/proxy/blocks/secret/';
const fetchRun = (id: keyof Good) => (good: Good) => `failed to fetch flow_run ${String(good[id])}`;
const noSecret = {
  status: 404,
  json: (good: Good) => ({ detail: `no secret block named ${good.secret}` }),
};
const SAVE_SECRET = 'failed to prefect secret block';
const CREATE_RUN = 'failed to create flow_run for deployment';

/** Every route: a table, because each promise that cuts across routes is tested on all of them. */
export const ROUTES: RouteCase[] = [
  {
    id: 'getAirbyteServerId',
    method: 'GET',
    pattern: `${SERVER}{blockname}`,
    path: (good) => SERVER + good.server,
    detail: 'failed to fetch airbyte server block',
    missing: { status: 200, json: () => ({ block_id: null }) },
  },
  {
    id: 'getAirbyteServer',
    method: 'GET',
    pattern: `${SERVER}block/{blockname}`,
    path: (good) => `${SERVER}block/${good.server}`,
    detail: 'failed to fetch airbyte server block',
    missing: { status: 404, json: () => ({ detail: 'block not found' }) },
  },
  {
    id: 'createAirbyteServer',
    method: 'POST',
    pattern: SERVER,
    path: () => SERVER,
    body: (good) => ({ blockName: good.name('new'), serverHost: 'h', serverPort: '8000', apiVersion: 'v1' }),
    detail: 'failed to create airbyte server block',
  },
  {
    id: 'updateAirbyteServer',
    method: 'PUT',
    pattern: SERVER,
    path: () => SERVER,
    body: (good) => ({ blockName: good.server, serverHost: 'h2' }),
    detail: 'failed to update airbyte server block',
  },
  {
    id: 'upsertAirbyteConnection',
    method: 'PUT',
    pattern: '/proxy/blocks/airbyte/connection/',
    path: () => '/proxy/blocks/airbyte/connection/',
    body: (good) => ({
      serverBlockName: good.server,
      connectionId: 'c-1',
      connectionBlockName: good.name('connection'),
    }),
    detail: 'failed to upsert airbyte connection block',
  },
  {
    id: 'getSecret',
    method: 'GET',
    pattern: `${SECRET}{blockname}`,
    path: (good) => SECRET + good.secret,
    detail: 'failed to fetch secret block',
    missing: noSecret,
  },
  {
    id: 'getSecretContents',
    method: 'GET',
    pattern: `${SECRET}{blockname}/contents`,
    path: (good) => `${SECRET}${good.secret}/contents`,
    detail: 'failed to fetch secret block contents',
    missing: noSecret,
  },
  {
    id: 'createSecret',
    method: 'POST',
    pattern: SECRET,
    path: () => SECRET,
    body: (good) => ({ blockName: good.secret, secret: 'one' }),
    detail: SAVE_SECRET,
  },
  {
    id: 'upsertSecret',
    method: 'PUT',
    pattern: SECRET,
    path: () => SECRET,
    body: (good) => ({ blockName: good.secret, secret: 'two' }),
    detail: SAVE_SECRET,
  },
  {
    id: 'deleteBlock',
    method: 'DELETE',
    pattern: '/delete-a-block/{block_id}',
    path: (good) => `/delete-a-block/${good.block}`,
    detail: 'failed to delete the block',
    ownText: true,
    silent: true,
  },
  {
    id: 'createDeployment',
    method: 'POST',
    pattern: '/proxy/v1/deployments/',
    path: () => '/proxy/v1/deployments/',
    body: (good) => ({
      flow_name: 'pipeline',
      deployment_name: good.name('created'),
      org_slug: 'acme',
      deployment_params: { config: {} },
      work_pool_name: good.pool,
    }),
    detail: 'failed to create deployment',
  },
  {
    id: 'updateDeployment',
    method: 'PUT',
    pattern: '/proxy/v1/deployments/{deployment_id}',
    path: (good) => `/proxy/v1/deployments/${good.deployment}`,
    body: () => ({ deployment_params: { config: { tasks: [] } }, cron: '0 3 * * *' }),
    detail: 'failed to update the deployment',
  },
  {
    id: 'setEntrypoint',
    method: 'PATCH',
    pattern: '/proxy/v1/deployments/{deployment_id}/entrypoint',
    path: (good) => `/proxy/v1/deployments/${good.deployment}/entrypoint`,
    body: () => ({ entrypoint: 'pipeline.py:flow' }),
    detail: 'failed to update deployment entrypoint',
    silent: true,
  },
  {
    id: 'listScheduledRuns',
    method: 'GET',
    pattern: '/proxy/v1/deployments/get_scheduled_flow_runs',
    path: (good) => `/proxy/v1/deployments/get_scheduled_flow_runs?deployment_id=${good.deployment}`,
    detail: 'failed to fetch scheduled flow-runs for deployment',
  },
  {
    id: 'listDeployments',
    method: 'POST',
    pattern: '/proxy/deployments/filter',
    path: () => '/proxy/deployments/filter',
    body: (good) => ({ org_slug: 'acme', deployment_ids: [good.deployment] }),
    detail: 'failed to filter deployments',
  },
  {
    id: 'getDeployment',
    method: 'GET',
    pattern: '/proxy/deployments/{deployment_id}',
    path: (good) => `/proxy/deployments/${good.deployment}`,
    detail: (good) => `failed to fetch deployment ${good.deployment}`,
  },
  {
    id: 'deleteDeployment',
    method: 'DELETE',
    pattern: '/proxy/deployments/{deployment_id}',
    path: (good) => `/proxy/deployments/${good.doomedDeployment}`,
    detail: 'failed to delete the deployment',
    ownText: true,
    silent: true,
  },
  {
    id: 'setSchedule',
    method: 'POST',
    pattern: '/proxy/deployments/{deployment_id}/set_schedule/{status}',
    path: (good) => `/proxy/deployments/${good.deployment}/set_schedule/inactive`,
    detail: 'failed to set schedule',
  },
  {
    id: 'runDeployment',
    method: 'POST',
    pattern: '/proxy/deployments/{deployment_id}/flow_run',
    path: (good) => `/proxy/deployments/${good.deployment}/flow_run`,
    body: () => ({}),
    detail: CREATE_RUN,
  },
  {
    id: 'scheduleRun',
    method: 'POST',
    pattern: '/proxy/deployments/{deployment_id}/flow_run/schedule',
    path: (good) => `/proxy/deployments/${good.deployment}/flow_run/schedule`,
    body: () => ({ runParams: {}, scheduledTime: '2030-01-31T03:00:00Z' }),
    detail: CREATE_RUN,
  },
  {
    id: 'findRunByName',
    method: 'POST',
    pattern: '/proxy/flow_run/',
    path: () => '/proxy/flow_run/',
    body: (good) => ({ name: good.name('run') }),
    detail: 'failed to fetch flow_runs by name',
  },
  {
    id: 'listFinishedRuns',
    method: 'GET',
    pattern: '/proxy/flow_runs',
    path: (good) => `/proxy/flow_runs?deployment_id=${good.deployment}`,
    detail: 'failed to fetch flow_runs for deployment',
  },
  {
    id: 'listLateRuns',
    method: 'POST',
    pattern: '/proxy/flow_runs/late',
    path: () => '/proxy/flow_runs/late',
    body: () => ({ limit: 5 }),
    detail: 'failed to fetch late flow runs',
  },
  {
    id: 'listLongRunningRuns',
    method: 'GET',
    pattern: '/proxy/flow_runs/long-running/{nhours}',
    path: () => '/proxy/flow_runs/long-running/2',
    detail: 'failed to fetch long running flow_runs',
  },
  {
    id: 'getRun',
    method: 'GET',
    pattern: '/proxy/flow_runs/{flow_run_id}',
    path: (good) => `/proxy/flow_runs/${good.run}`,
    detail: fetchRun('run'),
  },
  {
    id: 'pollRun',
    method: 'GET',
    pattern: '/proxy/flow_runs/{flow_run_id}/poll',
    path: (good) => `/proxy/flow_runs/${good.run}/poll`,
    detail: fetchRun('run'),
  },
  {
    id: 'waitForRun',
    method: 'GET',
    pattern: '/proxy/v1/flow_runs/{flow_run_id}/wait',
    path: (good) => `/proxy/v1/flow_runs/${good.run}/wait?timeout=0`,
    detail: fetchRun('run'),
  },
  {
    id: 'pollRuns',
    method: 'POST',
    pattern: '/proxy/v1/flow_runs/poll',
    path: () => '/proxy/v1/flow_runs/poll',
    body: (good) => ({ ids: [good.run, good.queuedRun] }),
    detail: 'failed to fetch flow_runs',
  },
  {
    id: 'getRunResult',
    method: 'GET',
    pattern: '/proxy/v1/flow_runs/{flow_run_id}/result',
    path: (good) => `/proxy/v1/flow_runs/${good.run}/result`,
    detail: fetchRun('run'),
  },
  {
    id: 'explainRun',
    method: 'GET',
    pattern: '/proxy/v1/flow_runs/{flow_run_id}/explain',
    path: (good) => `/proxy/v1/flow_runs/${good.run}/explain`,
    detail: fetchRun('run'),
  },
  {
    id: 'deleteRun',
    method: 'DELETE',
    pattern: '/proxy/flow_runs/{flow_run_id}',
    path: (good) => `/proxy/flow_runs/${good.doomedRun}`,
    detail: fetchRun('doomedRun'),
    silent: true,
  },
  {
    id: 'retryRun',
    method: 'POST',
    pattern: '/proxy/flow_runs/{flow_run_id}/retry',
    path: (good) => `/proxy/flow_runs/${good.run}/retry`,
    body: () => ({ minutes: 5 }),
    detail: fetchRun('run'),
  },
  {
    id: 'cancelQueuedRun',
    method: 'POST',
    pattern: '/proxy/flow_runs/{flow_run_id}/set_state',
    path: (good) => `/proxy/flow_runs/${good.queuedRun}/set_state`,
    body: () => ({ state: { name: 'Cancelling', type: 'CANCELLING' }, force: 'True' }),
    detail: 'failed to cancel the queued manual job',
  },
  {
    id: 'getRunGraph',
    method: 'GET',
    pattern: '/proxy/flow_runs/graph/{flow_run_id}',
    path: (good) => `/proxy/flow_runs/graph/${good.run}`,
    detail: 'failed to fetch graph for flow_run',
  },
  {
    id: 'listRunLogs',
    method: 'GET',
    pattern: '/proxy/flow_runs/logs/{flow_run_id}',
    path: (good) => `/proxy/flow_runs/logs/${good.run}`,
    detail: 'failed to fetch logs for flow_run',
  },
  {
    id: 'listRunLogsByNode',
    method: 'GET',
    pattern: '/proxy/flow_runs/v1/logs/{flow_run_id}',
    path: (good) => `/proxy/flow_runs/v1/logs/${good.run}`,
    detail: 'failed to fetch logs for flow_run',
  },
  {
    id: 'getPrefectVersion',
    method: 'GET',
    pattern: '/proxy/prefect/version',
    path: () => '/proxy/prefect/version',
    detail: 'failed to fetch the prefect version',
  },
  {
    id: 'countWorkers',
    method: 'POST',
    pattern: '/proxy/workers/filter/',
    path: () => '/proxy/workers/filter/',
    body: (good) => ({ work_queue_names: ['default'], work_pool_names: [good.pool] }),
    detail: 'failed to fetch prefect workers',
  },
  {
    id: 'listDeliveries',
    method: 'GET',
    pattern: '/proxy/v1/deliveries',
    path: () => '/proxy/v1/deliveries?limit=5',
    detail: 'failed to list deliveries',
  },
  {
    id: 'listDeliveriesWithoutRun',
    method: 'GET',
    pattern: '/proxy/v1/deliveries/without_run',
    path: () => '/proxy/v1/deliveries/without_run',
    detail: 'failed to list deliveries without a run',
    // Nothing has been noted yet.
    missing: { status: 200, json: () => ({ deliveries: [] }) },
  },
];

/** Routes that never ask the orchestrator, or ask it only where a host is configured, or wait for its workers, and have tests of their own. */
export const OTHER_ROUTES = [
  'raiseError',
  'receiveNotification',
  'replayDelivery',
  'recoverDeliveries',
  'followRun',
  'runDbt',
  'runShell',
];

export function detailOf(route: RouteCase, good: Good): string {
  return typeof route.detail === 'string' ? route.detail : route.detail(good);
}

/** Sends a route's good request. */
export function send(host: Host, route: RouteCase, good: Good, options: SendOptions = {}) {
  const body = route.body?.(good);
  return host.send(route.method, route.path(good), { ...(body === undefined ? {} : { body }), ...options });
}

/** Puts into the orchestrator what the good requests are about. */
export async function makeGood(host: Host, seed: Seed): Promise<Good> {
  const name = (text: string) => seed.name(text);
  const server = { blockName: name('server'), serverHost: 'h', serverPort: '80', apiVersion: 'v1' };
  await host.post(SERVER, server);
  await host.post(SECRET, { blockName: name('secret'), secret: 'one' });
  const doomed = await host.post(SECRET, { blockName: name('doomed'), secret: 'one' });
  const pool = await seed.pool();
  const tagged = { tags: ['acme'], work_pool_name: pool, work_queue_name: 'default' };
  const schedules = [{ active: true, schedule: { cron: '0 1 * * *' } }];
  const deployment = await seed.deployment({ ...tagged, schedules });
  const run = await seed.flowRun({ deploymentId: deployment, states: [COMPLETED] });
  await seed.taskRun(run, 'step', [COMPLETED]);
  await seed.logs([{ flowRunId: run, message: 'hello' }]);
  await seed.result(run, [{ seq: 1, result: ['hello'] }]);
  return {
    name,
    server: server.blockName,
    secret: name('secret'),
    block: (doomed.json as { block_id: string }).block_id,
    pool,
    deployment,
    doomedDeployment: await seed.deployment({ name: name('doomed') }),
    run,
    doomedRun: await seed.flowRun({ name: name('doomed') }),
    queuedRun: await seed.flowRun({ name: name('queued') }),
  };
}
