import { posix } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';
import parameterSchema from '../../flows/sync-runs-parameter-schema.json' with { type: 'json' };
import { AppError } from '../errors.js';
import type { PrefectClient, PrefectSession } from '../prefect/client.js';
import * as deployments from '../prefect/deployments.js';
import { addLabels, parseRun } from '../prefect/ended-runs.js';
import { UpstreamError } from '../prefect/errors.js';
import * as flowRuns from '../prefect/flow-runs.js';
import * as flows from '../prefect/flows.js';
import type { DeploymentDefaults } from './deployments.js';
import { isGone, type Known, type RunWatch } from './follow/run-watch.js';
import { waitForEnd } from './follow/wait.js';
import { startRun, type NewRun } from './new-runs.js';
import type { ListLimits } from './rows.js';
import { LABELS } from './settlement/progress.js';
import { outcomeOf } from './sync-outcome.js';
import { SYNC_RUNS_DEPLOYMENT } from './sync-runs-deployment.js';
import { countWorkers } from './workers.js';

export interface SyncRunsOptions {
  client: PrefectClient;
  limits: ListLimits;
  watch: RunWatch;
  /** Where workers find the flows, and where runs go. */
  defaults: Pick<DeploymentDefaults, 'flowsDirectory' | 'pullSteps' | 'workPoolName' | 'workQueueName'>;
  /** Whether hosts hear of the ends of these runs, too: who asked for one has the answer already. */
  notify: boolean;
  timeoutSeconds: number;
  startTimeoutSeconds: number;
}

export interface Started {
  id: string;
  /** Set where nobody seems to be there to run it. */
  warning?: string;
}

export interface Patience {
  /** Aborted when the host hangs up; the run goes on. */
  gone: AbortSignal;
  /** Seconds after which the host wants to be told where the run is rather than wait. */
  waitSeconds: number | undefined;
}

const FLOW_NAME = 'run-one-task';
const ENTRYPOINT = 'sync_runs.py:run_one_task';
const NOT_STARTED = ['SCHEDULED', 'PENDING'];
/** Runs that are made at once: SQLite is locked to nearly all of fifty, for so long that its 503 looks like an outage. */
const NEW_RUNS = 4;
/** When a host may ask again for what nobody started: while the cancelled run keeps what it declared (CLEANUP_GRACE). */
const NOT_STARTED_RETRY_SECONDS = 30;
const CANCEL_ATTEMPTS = 5;
const CANCEL_AGAIN_MS = 300;
const LOOK_AGAIN_SECONDS = 5;

/** Runs of one task for which a host waits. The work is done by Prefect's workers, as for every other run. */
export class SyncRuns {
  private deployment: Promise<string> | undefined;
  private readonly limited = pLimit(NEW_RUNS);

  constructor(private readonly options: SyncRunsOptions) {}

  /**
   * Starts a run of a task, as `sync_runs.py` takes it, or finds the one of the same idempotency key.
   * @throws AppError 422 where the key was used with another task, 503 where the work pool does not exist
   * @throws UpstreamError
   */
  async start(api: PrefectSession, task: Record<string, unknown>, more: Omit<NewRun, 'parameters'>) {
    // It brings its queue along.
    await this.ensured();
    const notify = this.options.notify && more.notify !== false;
    const run = this.create(api, { ...more, notify, parameters: { task } });
    const [{ flow_run_id: id }, warning] = await Promise.all([run, this.warning(api)]);
    return { id, ...(warning === undefined ? {} : { warning }) } satisfies Started;
  }

  /**
   * Waits for the end of a run, whatever fails at the orchestrator in the meantime.
   * @returns its result; undefined where `waitSeconds` were not enough
   * @throws AppError 400 (`failure`) where the run fails, 503 where it was not started in time (it is cancelled) or
   *   this service ends, 504 where it takes too long; it goes on then
   * @throws UpstreamError where it is deleted, or its result cannot be read
   */
  async finish(id: string, failure: string, patience: Patience): Promise<{ result: unknown } | undefined> {
    const { client, limits, startTimeoutSeconds, timeoutSeconds, watch } = this.options;
    const limit = Math.min(timeoutSeconds, patience.waitSeconds ?? Infinity);
    const begun = performance.now();
    const elapsed = () => (performance.now() - begun) / 1000;
    let until = Math.min(startTimeoutSeconds, limit);
    for (;;) {
      const known = await this.knownAfter(id, until - elapsed(), patience.gone);
      if (known?.isEnded) return outcomeOf(client.session(), limits.size, known.text, failure);
      if (until >= limit || watch.isClosed) break;
      if (known && hasNotStarted(known)) await this.giveUp(id);
      until = known ? limit : Math.min(elapsed() + LOOK_AGAIN_SECONDS, limit);
    }
    if (patience.waitSeconds !== undefined && patience.waitSeconds <= timeoutSeconds) return undefined;
    const upstream = { flow_run_id: id };
    if (!watch.isClosed) {
      const detail = `flow run ${id} has not ended within ${timeoutSeconds} s`;
      throw new AppError('orchestrator_timeout', detail, { upstream });
    }
    const detail = `this service is ending; flow run ${id} goes on`;
    throw new AppError('shutting_down', detail, { retryAfterSeconds: 1, upstream });
  }

  /** The run as it is when it has ended or the time is over; undefined where it cannot be read just then. */
  private async knownAfter(id: string, seconds: number, gone: AbortSignal): Promise<Known | undefined> {
    const { client, watch } = this.options;
    try {
      const timeoutMs = Math.max(0, seconds * 1000);
      return await waitForEnd(watch, client.session(), id, { timeoutMs, gone });
    } catch (error) {
      if (error instanceof UpstreamError && !isGone(error)) return undefined;
      throw error;
    }
  }

  private async create(api: PrefectSession, wanted: NewRun) {
    const deployment = this.ensured();
    const deploymentId = await deployment;
    try {
      return await this.limited(() => startRun(api, deploymentId, wanted));
    } catch (error) {
      if (!(error instanceof UpstreamError && error.isNotFound)) throw error;
      // Somebody deleted it since.
      if (this.deployment === deployment) this.deployment = undefined;
      return startRun(api, await this.ensured(), wanted);
    }
  }

  /** The deployment's id. It is written once a process; who writes it at the same time writes the same. */
  private ensured(): Promise<string> {
    this.deployment ??= this.ensure().catch((error: unknown) => {
      this.deployment = undefined;
      throw error;
    });
    return this.deployment;
  }

  private async ensure(): Promise<string> {
    const api = this.options.client.session({ priority: 'high' });
    const { flowsDirectory, pullSteps, workPoolName, workQueueName } = this.options.defaults;
    const flowId = await flows.ensure(api, FLOW_NAME);
    try {
      return await deployments.upsert(api, {
        name: SYNC_RUNS_DEPLOYMENT,
        flow_id: flowId,
        entrypoint: posix.join(flowsDirectory, ENTRYPOINT),
        pull_steps: pullSteps,
        parameter_openapi_schema: parameterSchema,
        enforce_parameter_schema: true,
        work_pool_name: workPoolName,
        work_queue_name: workQueueName,
        paused: false,
      });
    } catch (error) {
      if (!(error instanceof UpstreamError && error.isNotFound)) throw error;
      const detail = `the work pool ${workPoolName} does not exist (DEFAULT_WORK_POOL_NAME)`;
      throw new AppError('not_configured', detail, { cause: error });
    }
  }

  private async warning(api: PrefectSession): Promise<string | undefined> {
    const { workPoolName: pool, workQueueName: queue } = this.options.defaults;
    const asked = { work_pool_names: [pool], work_queue_names: [queue], status: 'ONLINE' };
    // The run counts: that nobody can say who is there is no reason to fail.
    const count = await countWorkers(api, this.options.limits, asked).catch(() => undefined);
    return count === 0 ? `no online worker polls the queue ${queue} of the pool ${pool}` : undefined;
  }

  /**
   * A run that nobody has picked up must not start when nobody waits for it any more.
   * @returns where it has started or ended in the meantime
   * @throws AppError 503 when it is cancelled
   * @throws UpstreamError where it could not be
   */
  private async giveUp(id: string): Promise<void> {
    const state = { type: 'CANCELLING', name: 'Cancelling' };
    for (let attempt = 1; ; attempt += 1) {
      try {
        // First: a run that is cancelled and does not say why would count for its idempotency key.
        await this.note(id, 'true');
        const api = this.options.client.session({ priority: 'high' });
        await flowRuns.changeState(api, id, state, false, 'CANCELLED');
        break;
      } catch (error) {
        if (error instanceof UpstreamError && error.isConflict)
          return this.note(id, '').catch(() => undefined);
        if (attempt === CANCEL_ATTEMPTS) throw error;
        // A locked database is routine. Cancelling it twice is cancelling it once.
        await sleep(CANCEL_AGAIN_MS);
      }
    }
    const within = `within ${this.options.startTimeoutSeconds} s`;
    throw new AppError('orchestrator_unavailable', `flow run ${id} was not started ${within}: cancelled`, {
      retryAfterSeconds: NOT_STARTED_RETRY_SECONDS,
      upstream: { flow_run_id: id },
    });
  }

  private note(id: string, notStarted: string): Promise<void> {
    return addLabels(this.options.client.session(), id, { [LABELS.notStarted]: notStarted });
  }
}

function hasNotStarted({ text }: Known): boolean {
  const type = parseRun(text).state?.type;
  return NOT_STARTED.some((one) => one === type);
}
