import { z } from '@hono/zod-openapi';
import { EXAMPLE_ID } from './examples.js';
import {
  bodyInt,
  bool,
  count,
  datetime,
  dict,
  hours,
  idInPath,
  int,
  list,
  listOrEmpty,
  minutes,
  name,
  nestedModel,
  nullable,
  orNull,
  portOrEmpty,
  portText,
  str,
  timeOrEmpty,
  uuid,
  uuidOrEmpty,
} from './lax.js';

/** Prefect on PostgreSQL answers 503 to a filter of some 33,000 ids, and on SQLite takes a minute for it; 10,000 take 0.5 s. */
const MAX_IDS = 10_000;
const MAX_QUEUES = 1_000;
/** Each is a call to Prefect. */
const MAX_POOLS = 100;

export const airbyteServerCreate = z
  .object({
    blockName: name,
    serverHost: str,
    serverPort: portText,
    apiVersion: str,
    useSSL: bool.default(false),
  })
  .openapi('AirbyteServerCreate');

export const airbyteServerUpdate = z
  .object({
    blockName: name,
    serverHost: orNull(str),
    serverPort: orNull(portOrEmpty),
    apiVersion: orNull(str),
    username: orNull(str),
    password: orNull(str),
    useSSL: orNull(bool),
  })
  .openapi('AirbyteServerUpdate');

export const airbyteConnection = z
  .object({
    serverBlockName: name,
    connectionId: str,
    connectionBlockName: name,
    connectionName: str.default(''),
    extra: dict.default({}),
  })
  .openapi('AirbyteConnection');

export const secret = z.object({ secret: str, blockName: name }).openapi('Secret');

/** The longest cron expression that says anything has 359 characters; one of 270,000 takes Prefect 3 s. */
const cron = orNull(name);
const scheduleAndPlace = { cron, work_queue_name: orNull(name), work_pool_name: orNull(name) };

export const deploymentCreate = z
  .object({
    flow_name: str,
    deployment_name: name,
    org_slug: name,
    deployment_params: dict,
    ...scheduleAndPlace,
  })
  .openapi('DeploymentCreate');

export const deploymentUpdate = z
  .object({ deployment_params: dict.default({}), ...scheduleAndPlace })
  .openapi('DeploymentUpdate');

export const deploymentFilter = z
  .object({ org_slug: name, deployment_ids: nullable(list(uuid, { max: MAX_IDS })) })
  .openapi('DeploymentFilter');

/** A free object of which one key is looked at, so that its absence gets the contract's own words. */
export const entrypoint = dict.openapi('Entrypoint', {
  type: 'object',
  properties: { entrypoint: { type: 'string' } },
  required: ['entrypoint'],
});

/** Null is taken like nothing; it is not documented, because generated clients trip over a body that may be null. */
export const runParameters = orNull(dict).openapi({ type: 'object', additionalProperties: true });

export const scheduledRun = z
  .object({ runParams: dict, scheduledTime: orNull(datetime) })
  .openapi('ScheduledRun');

export const runName = z.object({ name }).openapi('RunName');
export const retry = z.object({ minutes }).openapi('Retry');

export const cancel = z
  .object({
    state: nestedModel({ name, type: z.literal('CANCELLING') }),
    force: str.openapi({ example: 'True' }),
  })
  .openapi('Cancel');

export const lateRuns = z
  .object({
    deployment_id: orNull(uuidOrEmpty),
    work_pool_name: orNull(name),
    work_queue_name: orNull(name),
    limit: bodyInt.default(1),
    before_start_time: orNull(datetime),
    after_start_time: orNull(datetime),
    exclude_flow_run_ids: listOrEmpty(uuid, { max: MAX_IDS }),
  })
  .openapi('LateRuns');

export const workers = z
  .object({
    work_queue_names: listOrEmpty(name, { max: MAX_QUEUES }),
    work_pool_names: listOrEmpty(name, { max: MAX_POOLS }),
    status: str.default('ONLINE'),
  })
  .openapi('Workers');

/* Parameters as the API documentation has them: each is described, a required one has an example that can be tried. */
const A_RUN = { description: 'A flow run', example: EXAMPLE_ID };
const A_DEPLOYMENT = { description: 'A deployment', example: EXAMPLE_ID };

export const flowRunPath = z.object({ flow_run_id: idInPath.openapi(A_RUN) });
export const deploymentPath = z.object({ deployment_id: idInPath.openapi(A_DEPLOYMENT) });
/** Where an id is judged after something else of the path. */
export const deploymentText = z.string().openapi({ format: 'uuid', ...A_DEPLOYMENT });
export const deploymentQuery = uuid.openapi(A_DEPLOYMENT);
export const rowLimit = count.default(0).openapi({ description: 'Rows at most; 0: no limit', default: 0 });
export { count, hours, idInPath, int, str, timeOrEmpty, uuid, uuidOrEmpty };
