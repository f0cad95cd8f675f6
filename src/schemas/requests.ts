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
  minutes,
  nestedModel,
  orNull,
  portOrEmpty,
  portText,
  str,
  timeOrEmpty,
  uuid,
  uuidOrEmpty,
} from './lax.js';

export const airbyteServerCreate = z
  .object({
    blockName: str,
    serverHost: str,
    serverPort: portText,
    apiVersion: str,
    useSSL: bool.default(false),
  })
  .openapi('AirbyteServerCreate');

export const airbyteServerUpdate = z
  .object({
    blockName: str,
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
    serverBlockName: str,
    connectionId: str,
    connectionBlockName: str,
    connectionName: str.default(''),
    extra: dict.default({}),
  })
  .openapi('AirbyteConnection');

export const secret = z.object({ secret: str, blockName: str }).openapi('Secret');

const scheduleAndPlace = { cron: orNull(str), work_queue_name: orNull(str), work_pool_name: orNull(str) };

export const deploymentCreate = z
  .object({
    flow_name: str,
    deployment_name: str,
    org_slug: str,
    deployment_params: dict,
    ...scheduleAndPlace,
  })
  .openapi('DeploymentCreate');

export const deploymentUpdate = z
  .object({ deployment_params: dict.default({}), ...scheduleAndPlace })
  .openapi('DeploymentUpdate');

export const deploymentFilter = z
  .object({ org_slug: str, deployment_ids: z.array(uuid).nullable() })
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

export const runName = z.object({ name: str }).openapi('RunName');
export const retry = z.object({ minutes }).openapi('Retry');

export const cancel = z
  .object({
    state: nestedModel({ name: str, type: z.literal('CANCELLING') }),
    force: str.openapi({ example: 'True' }),
  })
  .openapi('Cancel');

export const lateRuns = z
  .object({
    deployment_id: orNull(uuidOrEmpty),
    work_pool_name: orNull(str),
    work_queue_name: orNull(str),
    limit: bodyInt.default(1),
    before_start_time: orNull(datetime),
    after_start_time: orNull(datetime),
    exclude_flow_run_ids: z.array(uuid).default([]),
  })
  .openapi('LateRuns');

export const workers = z
  .object({
    work_queue_names: z.array(str).default([]),
    work_pool_names: z.array(str).default([]),
    status: str.default('ONLINE'),
  })
  .openapi('Workers');

/* Parameters as the API documentation has them: each is described, a required one has an example that can be tried. */
const A_RUN = { description: 'A flow run', example: EXAMPLE_ID };
const A_DEPLOYMENT = { description: 'A deployment', example: EXAMPLE_ID };

export const flowRunPath = z.object({ flow_run_id: idInPath.openapi(A_RUN) });
export const deploymentPath = z.object({ deployment_id: idInPath.openapi(A_DEPLOYMENT) });
/** Where an id is judged after something else of the path. */
export const deploymentText = str.openapi({ format: 'uuid', ...A_DEPLOYMENT });
export const deploymentQuery = uuid.openapi(A_DEPLOYMENT);
export const rowLimit = count.default(0).openapi({ description: 'Rows at most; 0: no limit', default: 0 });
export { count, hours, idInPath, int, str, timeOrEmpty, uuid, uuidOrEmpty };
