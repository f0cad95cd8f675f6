import type { PrefectClient } from '../../prefect/client.js';
import { TERMINAL } from '../../prefect/ended-runs.js';
import { UpstreamError } from '../../prefect/errors.js';
import * as eventLog from '../../prefect/event-log.js';
import * as runStates from '../../prefect/run-states.js';
import { readStateChange, type StateChange } from '../../prefect/state-change.js';

/** Prefect keeps events for a week by default. */
const LOG_MS = 7 * 24 * 3_600_000;
/** Servers without an event log, or whose log is not for us. */
const NO_LOG = [403, 404, 405];

/**
 * Finds out how a run ended that cannot be read: it was deleted, or has a label that Prefect cannot show (a run with a
 * null label is a 500 on every route). Prefect's event log outlives a run, and the states of a run show no labels.
 */
export class MissingRuns {
  constructor(private readonly client: PrefectClient) {}

  /**
   * @param isUnreadable the run is there, and cannot be shown
   * @param reported what a source said of its end
   * @returns undefined if nothing is known (yet: events are logged some seconds later), or the run has not ended
   * @throws UpstreamError
   */
  async endOf(
    id: string,
    isUnreadable: boolean,
    reported: StateChange | undefined,
  ): Promise<StateChange | undefined> {
    if (isUnreadable) return this.byStates(id, reported);
    return reported ?? (await this.byLog(id));
  }

  private async byLog(id: string): Promise<StateChange | undefined> {
    const since = new Date(Date.now() - LOG_MS).toISOString();
    try {
      const resource = { id: [`prefect.flow-run.${id}`] };
      const [latest] = await eventLog.list(this.client.session(), since, { resource });
      return readStateChange(latest);
    } catch (error) {
      if (error instanceof UpstreamError && NO_LOG.includes(error.status ?? 0)) return undefined;
      throw error;
    }
  }

  /** The state that it is in now: what was reported may be an earlier one. */
  private async byStates(id: string, reported: StateChange | undefined): Promise<StateChange | undefined> {
    const states = await runStates.list(this.client.session(), id);
    const last = states.at(-1);
    const type = TERMINAL.find((one) => one === last?.type);
    if (!last || !type) return undefined;
    const known = reported ?? (await this.byLog(id));
    return {
      name: '',
      flowId: null,
      deploymentId: null,
      deploymentName: null,
      tags: [],
      ...known,
      flowRunId: id,
      isSubflow: states.some(({ state_details: details }) => Boolean(details?.task_run_id)),
      state: {
        id: last.id,
        type,
        name: last.name,
        timestamp: last.timestamp,
        message: last.message ?? null,
      },
    };
  }
}
