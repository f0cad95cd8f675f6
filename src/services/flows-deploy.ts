import { posix } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import examples from '../../flows/examples/deployments.json' with { type: 'json' };
import type { Config } from '../config.js';
import { parsePlainJson, stringifyJson } from '../json.js';
import type { PrefectClient, PrefectSession } from '../prefect/client.js';
import * as deployments from '../prefect/deployments.js';
import type { Deployment, DeploymentFields } from '../prefect/deployments.js';
import * as flows from '../prefect/flows.js';
import { deploymentDefaults } from './deployment-defaults.js';
import { setActive } from './deployments.js';

const example = z.object({
  flow_name: z.string(),
  name: z.string(),
  entrypoint: z.string(),
  description: z.string(),
  parameters: z.record(z.string(), z.unknown()),
  parameter_openapi_schema: z.record(z.string(), z.unknown()),
});
export type Example = z.infer<typeof example>;

/** The example flows' deployments; each comes after those that it runs. */
export const EXAMPLES: readonly Example[] = z.array(example).parse(examples);

export interface ExampleOptions {
  poolName: string;
  queueName: string;
  intervalSeconds: number;
  /** Undefined: a new one is active, one that is there stays as it is. */
  paused?: boolean | undefined;
}

export interface DeployedExample {
  id: string;
  done: 'made' | 'changed' | 'left as it is';
  /** Names of the fields that were not as wanted. */
  fields: string[];
  paused: boolean;
  /** Whether it was paused or resumed just now. */
  switched: boolean;
}

/** A deployment has the example's name, and somebody else made it. */
export class ForeignDeployment extends Error {}

/** Tells ours from a deployment that has the same name by chance. */
const TAG = 'prefect-proxy-example';
/** Tells our schedule from those that a user added. */
const SLUG = 'flows-deploy';
/** Fixed, so that a schedule that is written anew keeps its times. */
const ANCHOR = '2025-01-01T00:00:00Z';

/**
 * Makes the deployment of an example, or mends ours of that name. One that is as wanted is left alone, with the runs
 * it has planned. A pause stays, unless `paused` says otherwise, and so do schedules that were added to it.
 * @throws ForeignDeployment
 * @throws UpstreamError 404 where there is no such work pool
 */
export async function deployExample(
  client: PrefectClient,
  config: Config,
  one: Example,
  options: ExampleOptions,
): Promise<DeployedExample> {
  const api = client.session();
  const wanted = wantedFields(config, one, options);
  const existing = await find(api, client, one);
  if (existing === undefined) {
    const paused = options.paused ?? false;
    const id = await write(api, one, { ...wanted, paused, schedules: [ownSchedule(options, !paused)] });
    return { id, done: 'made', fields: [], paused, switched: false };
  }
  if (!existing.tags.includes(TAG)) throw new ForeignDeployment();
  const fields = Object.keys(wanted).filter((key) => !isSame(existing[key], wanted[key]));
  if (!hasSchedule(existing, options.intervalSeconds)) fields.push('schedules');
  if (fields.length > 0) {
    const { paused } = existing;
    await write(api, one, { ...wanted, paused, schedules: mendedSchedules(existing, options) });
  }
  const paused = options.paused ?? existing.paused;
  const switched = paused !== existing.paused;
  if (switched) await setActive(api, existing.id, !paused);
  return { id: existing.id, done: fields.length > 0 ? 'changed' : 'left as it is', fields, paused, switched };
}

/** Everything but the schedule and the pause. */
function wantedFields(config: Config, one: Example, options: ExampleOptions): DeploymentFields {
  const { flowsDirectory, pullSteps } = deploymentDefaults(config);
  return {
    entrypoint: posix.join(flowsDirectory, one.entrypoint),
    pull_steps: pullSteps,
    description: one.description,
    parameters: one.parameters,
    parameter_openapi_schema: one.parameter_openapi_schema,
    enforce_parameter_schema: true,
    tags: [TAG],
    work_pool_name: options.poolName,
    work_queue_name: options.queueName,
  };
}

async function find(
  api: PrefectSession,
  client: PrefectClient,
  { flow_name, name }: Example,
): Promise<Deployment | undefined> {
  const query = { flows: { name: { any_: [flow_name] } }, deployments: { name: { any_: [name] } } };
  return (await deployments.list(api, client, query, 1)).rows[0];
}

async function write(api: PrefectSession, one: Example, fields: DeploymentFields): Promise<string> {
  const flowId = await flows.ensure(api, one.flow_name);
  return deployments.upsert(api, { ...fields, name: one.name, flow_id: flowId });
}

function ownSchedule({ intervalSeconds }: ExampleOptions, active: boolean) {
  const schedule = { interval: intervalSeconds, anchor_date: ANCHOR, timezone: 'UTC' };
  return { slug: SLUG, active, schedule };
}

function hasSchedule({ schedules }: Deployment, seconds: number): boolean {
  return schedules.some(({ slug, schedule }) => slug === SLUG && isSame(schedule['interval'], seconds));
}

/** All of them: an upsert drops those that it does not name. */
function mendedSchedules({ schedules, paused }: Deployment, options: ExampleOptions) {
  const own = schedules.find(({ slug }) => slug === SLUG);
  const others = schedules
    .filter((one) => one !== own)
    .map(({ slug, active, schedule, parameters }) => ({ slug, active, schedule, parameters }));
  return [ownSchedule(options, own?.active ?? !paused), ...others];
}

/** Whether two JSON values are equal; the server writes 300 as 300.0. */
function isSame(a: unknown, b: unknown): boolean {
  return a !== undefined && isDeepStrictEqual(parsePlainJson(stringifyJson(a)), b);
}
