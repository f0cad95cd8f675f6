import { createHash } from 'node:crypto';
import { AppError } from '../errors.js';
import { stringifyJson } from '../json.js';
import type { PrefectSession } from '../prefect/client.js';
import * as flowRuns from '../prefect/flow-runs.js';
import { holdsAny, type Resources } from '../schemas/resources.js';
import { LABELS } from './settlement/progress.js';

export interface NewRun {
  parameters: Record<string, unknown>;
  /** ISO time; now where it is not given. */
  scheduledTime?: string | undefined;
  /** What is given up when the run has ended. */
  resources?: Resources | undefined;
  /** The host's, unique for it within the deployment. */
  idempotencyKey?: string | undefined;
}

/** What was asked for with an idempotency key: Prefect looks at the key alone. */
const REQUEST_LABEL = 'prefect-proxy.request';

/**
 * Starts a run of a deployment, or finds the one that was started with the same idempotency key.
 * @throws AppError 422 where the key was used with other parameters or another time
 */
export async function startRun(api: PrefectSession, deploymentId: string, wanted: NewRun) {
  const { parameters, scheduledTime, resources, idempotencyKey: key } = wanted;
  const request = key === undefined ? undefined : hash(stringifyJson([parameters, scheduledTime ?? null]));
  const labels = {
    ...(resources && holdsAny(resources) ? { [LABELS.cleanup]: JSON.stringify(resources) } : {}),
    ...(request === undefined ? {} : { [REQUEST_LABEL]: request }),
  };
  const run = await flowRuns.createFromDeployment(api, deploymentId, {
    parameters,
    scheduledTime,
    ...(Object.keys(labels).length > 0 ? { labels } : {}),
    // Prefect's keys are unique within a flow, and organisations share flows.
    idempotencyKey: key === undefined ? undefined : `prefect-proxy-${hash(`${deploymentId} ${key}`)}`,
  });
  if (request !== undefined && run.labels?.[REQUEST_LABEL] !== request) {
    throw new AppError('validation_failed', 'this idempotency key was used with other parameters');
  }
  return { flow_run_id: run.id, name: run.name };
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
