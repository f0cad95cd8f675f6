import { AppError } from '../errors.js';
import type { PrefectSession } from '../prefect/client.js';
import * as deployments from '../prefect/deployments.js';
import type { Deployment } from '../prefect/deployments.js';
import { UpstreamError } from '../prefect/errors.js';
import * as flows from '../prefect/flows.js';
import * as workPools from '../prefect/work-pools.js';
import { onFreshRead, Overtaken } from './fresh-read.js';
import type { ListLimits } from './rows.js';

/** What every deployment made here has in common: where workers find the flow, and where its runs go by default. */
export interface DeploymentDefaults {
  flowName: string;
  entrypoint: string;
  /** The folder of the flows that are ours, as entrypoints write it: from the root of the repository or of FLOWS_PATH. */
  flowsDirectory: string;
  pullSteps: Record<string, unknown>[];
  parameterSchema: Record<string, unknown>;
  workPoolName: string;
  workQueueName: string;
}

/** What Prefect takes as a name; it answers 500 to others. */
const NAME = /^[^/%&<>]+$/;

interface SchedulePlace {
  cron: string | null;
  work_queue_name: string | null;
  work_pool_name: string | null;
}

export interface NewDeployment extends SchedulePlace {
  deployment_name: string;
  org_slug: string;
  deployment_params: Record<string, unknown>;
}

/**
 * Creates a deployment of the pipeline flow, or overwrites the organisation's own one of that name.
 * @returns its id
 * @throws AppError 400 where the name cannot be one, 409 where the name belongs to another organisation
 */
export async function create(
  api: PrefectSession,
  limits: ListLimits,
  defaults: DeploymentDefaults,
  wanted: NewDeployment,
) {
  const { deployment_name: name, org_slug: orgSlug, deployment_params: parameters, cron } = wanted;
  if (!NAME.test(name)) {
    throw new AppError('bad_request', 'failed to create deployment', {
      upstream: 'a name has none of / % & < >',
    });
  }
  const sameName = {
    flows: { name: { any_: [defaults.flowName] } },
    deployments: { name: { any_: [name] } },
  };
  const [flowId, existing] = await Promise.all([
    flows.ensure(api, defaults.flowName),
    deployments.list(api, limits.size, sameName, limits.ceiling),
  ]);
  if (existing.rows.some(({ tags }) => tags.length > 0 && !tags.includes(orgSlug))) {
    throw new AppError('conflict', 'failed to create deployment', {
      upstream: 'a deployment of that name belongs to another organisation',
    });
  }
  return deployments.upsert(api, {
    name,
    flow_id: flowId,
    entrypoint: defaults.entrypoint,
    pull_steps: defaults.pullSteps,
    parameters,
    parameter_openapi_schema: defaults.parameterSchema,
    enforce_parameter_schema: true,
    tags: [orgSlug],
    work_pool_name: wanted.work_pool_name || defaults.workPoolName,
    work_queue_name: wanted.work_queue_name || defaults.workQueueName,
    schedules: cron ? [cronSchedule(cron, true)] : [],
    paused: false,
  });
}

/**
 * Replaces a deployment's parameters and schedule; its pool and queue only where given. A deployment that is switched
 * off stays off, and so does its new schedule: active and paused say the same after each call.
 */
export async function update(api: PrefectSession, id: string, wanted: DeploymentChange): Promise<void> {
  await onFreshRead(async () => {
    await replace(api, id, wanted);
    const now = await deployments.read(api, id);
    // Two that replace the schedules at once may leave both new ones.
    if (now.schedules.length > 1) throw new Overtaken();
    if (!agrees(now)) await switchAll(api, now, !now.paused);
  });
}

type DeploymentChange = SchedulePlace & { deployment_params: Record<string, unknown> };

async function replace(api: PrefectSession, id: string, wanted: DeploymentChange): Promise<void> {
  const { cron, work_queue_name: queue, work_pool_name: givenPool } = wanted;
  // A pool that is not there is a 404 when a deployment is created, but a 500 when one is changed: it is asked for.
  const [existing] = await Promise.all([
    deployments.read(api, id),
    givenPool ? workPools.read(api, givenPool) : undefined,
  ]);
  // A queue without its pool would be looked for in the default pool, and the deployment moved there.
  const pool = givenPool || (queue ? existing.work_pool_name : null);
  const fields = {
    parameters: wanted.deployment_params,
    ...(pool ? { work_pool_name: pool } : {}),
    ...(queue ? { work_queue_name: queue } : {}),
  };
  const schedule = cron ? cronSchedule(cron, !existing.paused) : undefined;
  const hasSlugs = existing.schedules.length > 0 && existing.schedules.every(({ slug }) => slug);
  if (!hasSlugs) {
    await deployments.update(api, id, { ...fields, schedules: schedule ? [schedule] : [] });
    return;
  }
  // Schedules with slugs (as `prefect deploy` makes them) are not replaced by PATCH but merged: the old ones go one by one.
  const slug = 'prefect-proxy';
  await deployments.update(api, id, {
    ...fields,
    ...(schedule ? { schedules: [{ ...schedule, slug }] } : {}),
  });
  for (const old of existing.schedules.filter((one) => !schedule || one.slug !== slug)) {
    await deployments.removeSchedule(api, id, old.id).catch(overtaken);
  }
}

/**
 * Switches a deployment's schedules and the deployment itself on or off; nothing else of them changes. One write after
 * the other: SQLite answers 503 to writes at once, and the back-off takes longer than the write.
 */
export async function setActive(api: PrefectSession, id: string, active: boolean): Promise<void> {
  await onFreshRead(async () => {
    const found = await deployments.read(api, id);
    if (found.paused !== active && agrees(found)) return;
    await switchAll(api, found, active);
    if (!agrees(await deployments.read(api, id))) throw new Overtaken();
  });
}

async function switchAll(
  api: PrefectSession,
  { id, schedules, paused }: Deployment,
  active: boolean,
): Promise<void> {
  for (const schedule of schedules.filter((one) => one.active !== active)) {
    await deployments.setScheduleActive(api, id, schedule, active).catch(overtaken);
  }
  if (paused === active) await deployments.update(api, id, { paused: !active });
}

/** Whether a deployment and its schedules say the same. */
function agrees({ schedules, paused }: Deployment): boolean {
  return schedules.every((schedule) => schedule.active !== paused);
}

/** A schedule that was read a moment before is gone: somebody else has replaced it since. */
function overtaken(error: unknown): never {
  throw error instanceof UpstreamError && error.isNotFound ? new Overtaken() : error;
}

/** The deployments of an organisation: these, or all where null. */
export async function list(
  api: PrefectSession,
  { size, ceiling }: ListLimits,
  orgSlug: string,
  ids: string[] | null,
) {
  if (ids?.length === 0) return { rows: [] };
  const filter = { tags: { all_: [orgSlug] }, ...(ids ? { id: { any_: ids } } : {}) };
  const found = await deployments.list(api, size, { deployments: filter }, ceiling);
  return { ...found, rows: found.rows.map(asReply) };
}

/** A deployment as hosts read it: cron and activity are those of its first schedule. */
export function asReply(deployment: Deployment) {
  const [first] = deployment.schedules;
  return {
    name: deployment.name,
    deploymentId: deployment.id,
    tags: deployment.tags,
    cron: first?.schedule.cron ?? '',
    isScheduleActive: first?.active ?? false,
    parameters: deployment.parameters,
    entrypoint: deployment.entrypoint,
  };
}

function cronSchedule(cron: string, active: boolean) {
  return { schedule: { cron, timezone: null, day_or: true }, active };
}
