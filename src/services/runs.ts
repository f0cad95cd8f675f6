import { AppError } from '../errors.js';
import type { PrefectSession } from '../prefect/client.js';
import { UpstreamError } from '../prefect/errors.js';
import * as flowRuns from '../prefect/flow-runs.js';
import type { FlowRun } from '../prefect/flow-runs.js';
import { parseRun } from '../prefect/ended-runs.js';
import * as logs from '../prefect/logs.js';
import { DBT_TEST_FAILED, findFamily } from './family.js';
import { logRow } from './graph.js';
import { cutOf, type ListLimits } from './rows.js';
import { hasGivenUp } from './settlement/progress.js';

const TERMINAL = ['COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED'];
const QUEUED = ['PENDING', 'SCHEDULED'];

/** The whole run, with `status` (its state type) and its final state name. */
export async function readWithStatus(api: PrefectSession, limits: ListLimits, id: string) {
  const [run, family] = await Promise.all([
    flowRuns.read(api, id),
    findFamily(api, limits, [id], DBT_TEST_FAILED),
  ]);
  return { ...family, run: { ...run, status: run.state_type, state_name: finalStateName(run, family.hits) } };
}

/** The first run of a name, with `status`. */
export async function findByName(api: PrefectSession, { size, ceiling }: ListLimits, name: string) {
  const { rows } = await flowRuns.list(
    api,
    size,
    { flow_runs: { name: { any_: [name] } } },
    { limit: 1, ceiling },
  );
  const [run] = rows;
  if (!run) throw new AppError('bad_request', 'no such flow run');
  return { ...run, status: run.state_type };
}

/**
 * The terminal runs of a deployment, newest start first.
 * @param wanted limit 0: all; startedFrom: ISO time, inclusive
 */
export async function listFinished(
  api: PrefectSession,
  limits: ListLimits,
  deploymentId: string,
  wanted: { limit: number; startedFrom: string | null },
) {
  const query = {
    sort: 'START_TIME_DESC',
    deployments: { id: { any_: [deploymentId] } },
    flow_runs: {
      state: { type: { any_: TERMINAL } },
      ...(wanted.startedFrom === null ? {} : { start_time: { after_: wanted.startedFrom } }),
    },
  };
  const found = await flowRuns.listPlain(api, limits.size, query, {
    limit: wanted.limit || undefined,
    ceiling: limits.ceiling,
  });
  const ids = found.rows.map((run) => run.id);
  const family = await findFamily(api, limits, ids, DBT_TEST_FAILED);
  const rows = found.rows.map((run) => ({
    id: run.id,
    name: run.name,
    tags: run.tags,
    startTime: run.start_time,
    expectedStartTime: run.expected_start_time,
    totalRunTime: run.total_run_time,
    status: run.state_type,
    state_name: finalStateName(run, family.hits),
  }));
  return { rows, ...cutOf(found, family) };
}

export interface LateQuery {
  deployment_id: string | null;
  work_pool_name: string | null;
  work_queue_name: string | null;
  /** 0 or less: all. */
  limit: number;
  before_start_time: string | null;
  after_start_time: string | null;
  exclude_flow_run_ids: string[];
}

/** Runs that should have started and did not. */
export async function listLate(api: PrefectSession, { size, ceiling }: ListLimits, wanted: LateQuery) {
  const before = wanted.before_start_time && { before_: wanted.before_start_time };
  const after = wanted.after_start_time && { after_: wanted.after_start_time };
  const query = {
    sort: 'START_TIME_DESC',
    flow_runs: {
      state: { name: { any_: ['Late'] } },
      ...(wanted.exclude_flow_run_ids.length > 0 ? { id: { not_any_: wanted.exclude_flow_run_ids } } : {}),
      ...(before || after ? { expected_start_time: { ...before, ...after } } : {}),
    },
    ...(wanted.deployment_id ? { deployments: { id: { any_: [wanted.deployment_id] } } } : {}),
    ...(wanted.work_pool_name ? { work_pools: { name: { any_: [wanted.work_pool_name] } } } : {}),
    ...(wanted.work_queue_name ? { work_pool_queues: { name: { any_: [wanted.work_queue_name] } } } : {}),
  };
  const limit = wanted.limit > 0 ? wanted.limit : undefined;
  const found = await flowRuns.listPlain(api, size, query, { limit, ceiling });
  const rows = found.rows.map((run) => ({
    id: run.id,
    name: run.name,
    tags: run.tags,
    startTime: run.start_time,
    expectedStartTime: run.expected_start_time,
    totalRunTime: run.total_run_time,
    estimatedRunTime: run.estimated_run_time,
    workQueueName: run.work_queue_name ?? null,
    workPoolName: run.work_pool_name ?? null,
    deployment_id: run.deployment_id,
  }));
  return { ...found, rows };
}

/** The running runs that started before a time. */
export function listRunningSince(api: PrefectSession, { size, ceiling }: ListLimits, startedBefore: string) {
  const query = {
    flow_runs: { state: { type: { any_: ['RUNNING'] } }, start_time: { before_: startedBefore } },
  };
  return flowRuns.list(api, size, query, { ceiling });
}

/** The planned runs of a deployment, soonest first. Read by filter: the route made for it marks the deployment as polled. */
export function listScheduled(api: PrefectSession, { size, ceiling }: ListLimits, deploymentId: string) {
  const query = {
    sort: 'NEXT_SCHEDULED_START_TIME_ASC',
    deployments: { id: { any_: [deploymentId] } },
    flow_runs: { state: { type: { any_: ['SCHEDULED'] } } },
  };
  return flowRuns.list(api, size, query, { ceiling });
}

/**
 * The logs of a run and of its subflows at all depths, oldest first.
 * @param wanted limit 0: all; taskRunId '': of all task runs
 */
export async function listLogs(
  api: PrefectSession,
  limits: ListLimits,
  flowRunId: string,
  wanted: { taskRunId: string; limit: number; offset: number },
) {
  const [, family] = await Promise.all([
    flowRuns.readText(api, flowRunId),
    findFamily(api, limits, [flowRunId]),
  ]);
  const filter = {
    flow_run_id: { any_: [...family.topOf.keys()] },
    ...(wanted.taskRunId ? { task_run_id: { any_: [wanted.taskRunId] } } : {}),
  };
  const { limit, offset } = wanted;
  const found = await logs.list(api, limits.size, filter, {
    offset,
    limit: limit || undefined,
    ceiling: limits.ceiling,
  });
  return { rows: found.rows.map(logRow), ...cutOf(found, family) };
}

/**
 * Sends a run back to the queue, whatever state it is in.
 * @param scheduledTime ISO time
 * @throws AppError 409 where what the run needs was deleted when it ended
 */
export async function scheduleRetry(api: PrefectSession, id: string, scheduledTime: string): Promise<void> {
  if (hasGivenUp(parseRun(await flowRuns.readText(api, id)))) {
    throw new AppError('conflict', 'what this run declared was deleted after it had ended: start a new one');
  }
  const state = {
    type: 'SCHEDULED',
    name: 'AwaitingRetry',
    message: 'Retry via prefect proxy',
    state_details: { scheduled_time: scheduledTime },
  };
  await flowRuns.changeState(api, id, state, true);
}

/**
 * Cancels a run that has not started, or that waits for another attempt. One that is scheduled is CANCELLED at once; one
 * that is pending may have a process, which its worker ends.
 * @throws AppError 400 where it runs or is over, or where the orchestrator does not accept it any more
 */
export async function cancelQueued(
  api: PrefectSession,
  id: string,
  state: { name: string; type: string },
  force: string,
): Promise<void> {
  const refused = (options = {}) =>
    new AppError('bad_request', 'failed to cancel the queued manual job', options);
  const run = await flowRuns.read(api, id);
  if (!QUEUED.includes(run.state_type ?? '')) throw refused();
  // The process of an earlier attempt: Prefect would have it ended first, which no worker does any more, and the run would
  // be CANCELLING for 300 s. Not a run that Prefect's own retry holds: its process lives, and waits for its next attempt.
  const isHeld = run.empirical_policy?.retry_type === 'in_process';
  if (run.state_type === 'SCHEDULED' && run.infrastructure_pid && !isHeld)
    await flowRuns.forgetProcess(api, id);
  try {
    await flowRuns.changeState(api, id, state, force, 'CANCELLED');
  } catch (error) {
    // It started in between.
    if (error instanceof UpstreamError && error.isConflict)
      throw refused({ upstream: error.details.explanation, cause: error });
    throw error;
  }
}

function finalStateName(run: FlowRun, failedDbtTests: Set<string>): string | null {
  return failedDbtTests.has(run.id) ? DBT_TEST_FAILED : run.state_name;
}
