import { createHash } from 'node:crypto';
import { AppError } from '../errors.js';
import { stringifyJson } from '../json.js';
import type { PrefectSession } from '../prefect/client.js';
import * as flowRuns from '../prefect/flow-runs.js';
import { holdsAny, type Resources } from '../schemas/resources.js';
import { addLabels } from '../prefect/ended-runs.js';
import { isNotStarted, LABELS, notWantedLabel } from './settlement/progress.js';

export interface NewRun {
  parameters: Record<string, unknown>;
  /** ISO time; now where it is not given. */
  scheduledTime?: string | undefined;
  /** What is given up when the run has ended. */
  resources?: Resources | undefined;
  /** False: no host is to hear when the run ends. */
  notify?: boolean | undefined;
  /** The host's, unique for it within the deployment. */
  idempotencyKey?: string | undefined;
}

/** What was asked for with an idempotency key: Prefect looks at the key alone. */
const REQUEST_LABEL = 'prefect-proxy.request';

/**
 * Starts a run of a deployment, or finds the one that was started with the same idempotency key. One that was cancelled
 * because nobody started it in time does not count.
 * @throws AppError 422 where the key was used with other parameters or another time
 */
export async function startRun(api: PrefectSession, deploymentId: string, wanted: NewRun) {
  const { parameters, scheduledTime, resources, notify = true, idempotencyKey: key } = wanted;
  const request = key === undefined ? undefined : hash(stringifyJson([parameters, scheduledTime ?? null]));
  const labels: Record<string, string> = {
    ...(resources && holdsAny(resources) ? { [LABELS.cleanup]: JSON.stringify(resources) } : {}),
    ...(notify ? {} : notWantedLabel()),
    ...(request === undefined ? {} : { [REQUEST_LABEL]: request }),
  };
  const create = (uniqueKey: string | undefined) =>
    flowRuns.createFromDeployment(api, deploymentId, {
      parameters,
      scheduledTime,
      ...(Object.keys(labels).length > 0 ? { labels } : {}),
      idempotencyKey: uniqueKey,
    });
  // Prefect's keys are unique within a flow, and organisations share flows.
  let run = await create(key === undefined ? undefined : keyOf(deploymentId, key));
  while (key !== undefined && isNotStarted(run.labels, run.state_type)) {
    const { id, labels: past } = run;
    // Whoever comes after this run derives the same key, so that it is one run again.
    run = await create(keyOf(deploymentId, key, id));
    // What both declare is the next one's now.
    if (labels[LABELS.cleanup] !== undefined && past?.[LABELS.cleanup])
      await addLabels(api, id, { [LABELS.cleanup]: '' });
  }
  if (request !== undefined && run.labels?.[REQUEST_LABEL] !== request) {
    throw new AppError('validation_failed', 'this idempotency key was used with other parameters');
  }
  return { flow_run_id: run.id, name: run.name };
}

/** How the idempotency keys of the runs that this service starts begin. */
export const OWN_KEY_PREFIX = 'prefect-proxy-';

function keyOf(...parts: string[]): string {
  return `${OWN_KEY_PREFIX}${hash(parts.join(' '))}`;
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
