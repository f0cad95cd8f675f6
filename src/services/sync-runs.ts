import parameterSchema from '../../flows/sync-runs-parameter-schema.json' with { type: 'json' };
import { AppError } from '../errors.js';
import { parsePlainJson } from '../json.js';
import type { PrefectClient, PrefectSession } from '../prefect/client.js';
import * as deployments from '../prefect/deployments.js';
import { UpstreamError } from '../prefect/errors.js';
import * as flowRuns from '../prefect/flow-runs.js';
import * as flows from '../prefect/flows.js';
import type { DeploymentDefaults } from './deployments.js';
import type { Known, RunWatch } from './follow/run-watch.js';
import { waitForEnd } from './follow/wait.js';
import { countWorkers } from './workers.js';
import { outcomeOf } from './sync-outcome.js';
import type { ListLimits } from './rows.js';

export interface SyncRunsOptions {
  client: PrefectClient;
  limits: ListLimits;
  watch: RunWatch;
  /** Where workers find the flows, and where runs go. */
  defaults: Pick<DeploymentDefaults, 'pullSteps' | 'workPoolName' | 'workQueueName'>;
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

const NAME = 'prefect-proxy-sync-runs';
const FLOW_NAME = 'run-one-task';
const ENTRYPOINT = 'sync_runs.py:run_one_task';
const NOT_STARTED = ['SCHEDULED', 'PENDING'];

/** Runs of one task for which a host waits. The work is done by Prefect's workers, as for every other run. */
export class SyncRuns {
  private deployment: Promise<string> | undefined;

  constructor(private readonly options: SyncRunsOptions) {}

  /** Starts a run of a task, as `sync_runs.py` takes it. */
  async start(api: PrefectSession, task: Record<string, unknown>): Promise<Started> {
    const [run, warning] = await Promise.all([this.create(api, task), this.warning(api)]);
    return { id: run.id, ...(warning === undefined ? {} : { warning }) };
  }

  /**
   * Waits for the end of a run.
   * @returns its result; undefined where `waitSeconds` were not enough
   * @throws AppError 400 (`failure`) where the run fails, 503 where it was not started in time, 504 where it takes too long
   */
  async finish(id: string, failure: string, patience: Patience): Promise<{ result: unknown } | undefined> {
    const { startTimeoutSeconds, timeoutSeconds, client } = this.options;
    const wanted = patience.waitSeconds ?? Infinity;
    const begun = performance.now();
    const until = async (seconds: number): Promise<Known> => {
      const timeoutMs = Math.max(0, Math.min(seconds, wanted) * 1000 - (performance.now() - begun));
      return waitForEnd(this.options.watch, client.session(), id, { timeoutMs, gone: patience.gone });
    };
    let known = await until(Math.min(startTimeoutSeconds, timeoutSeconds));
    if (!known.isEnded && wanted > startTimeoutSeconds) {
      if (hasNotStarted(known)) await this.giveUp(id);
      known = await until(timeoutSeconds);
    }
    if (known.isEnded) return outcomeOf(client.session(), this.options.limits.size, known.text, failure);
    if (wanted < timeoutSeconds) return undefined;
    throw new AppError('orchestrator_timeout', `flow run ${id} has not ended within ${timeoutSeconds} s`, {
      headers: { 'x-flow-run-id': id },
      upstream: { flow_run_id: id },
    });
  }

  private async create(api: PrefectSession, task: Record<string, unknown>) {
    const parameters = { task };
    try {
      return await flowRuns.createFromDeployment(api, await this.ensured(), { parameters });
    } catch (error) {
      if (!(error instanceof UpstreamError && error.isNotFound)) throw error;
      // Somebody deleted it since.
      this.deployment = undefined;
      return flowRuns.createFromDeployment(api, await this.ensured(), { parameters });
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
    const api = this.options.client.session();
    const { pullSteps, workPoolName, workQueueName } = this.options.defaults;
    return deployments.upsert(api, {
      name: NAME,
      flow_id: await flows.ensure(api, FLOW_NAME),
      entrypoint: ENTRYPOINT,
      pull_steps: pullSteps,
      parameter_openapi_schema: parameterSchema,
      enforce_parameter_schema: true,
      work_pool_name: workPoolName,
      work_queue_name: workQueueName,
      paused: false,
    });
  }

  private async warning(api: PrefectSession): Promise<string | undefined> {
    const { workPoolName: pool, workQueueName: queue } = this.options.defaults;
    const asked = { work_pool_names: [pool], work_queue_names: [queue], status: 'ONLINE' };
    const count = await countWorkers(api, this.options.limits, asked);
    return count > 0 ? undefined : `no online worker polls the queue ${queue} of the pool ${pool}`;
  }

  /** A run that nobody has picked up must not start when nobody waits for it any more. */
  private async giveUp(id: string): Promise<void> {
    const state = { type: 'CANCELLING', name: 'Cancelling', message: 'Not started in time' };
    await flowRuns.changeState(this.options.client.session(), id, state, false, 'CANCELLED');
    throw new AppError(
      'orchestrator_unavailable',
      `flow run ${id} was not started within ${this.options.startTimeoutSeconds} s and has been cancelled`,
      { retryAfterSeconds: 60, headers: { 'x-flow-run-id': id }, upstream: { flow_run_id: id } },
    );
  }
}

function hasNotStarted({ text }: Known): boolean {
  const run = parsePlainJson(text);
  const type = typeof run === 'object' && run && 'state_type' in run ? run.state_type : undefined;
  return NOT_STARTED.some((one) => one === type);
}
