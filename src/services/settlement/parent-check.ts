import type { PrefectClient } from '../../prefect/client.js';
import type { EndedRun } from '../../prefect/ended-runs.js';
import * as runStates from '../../prefect/run-states.js';
import { Latest } from './latest.js';
import { OWN_KEY_PREFIX } from '../new-runs.js';

/**
 * Tells runs of their own from subflows whose parent was deleted. Prefect sets `parent_task_run_id` of those to null; the
 * parent's task run stays in the details of each state that they entered before that (3.6.29 and 3.8.8, also in forced
 * states). A subflow that ended afterwards shows it in its earlier states only.
 */
export class ParentCheck {
  /** Whether a run is a subflow, by its id. */
  private readonly known = new Latest<boolean>();

  constructor(private readonly client: PrefectClient) {}

  /** Takes what the event of a run's very first state says, when its parent was still there. */
  readonly learn = ({ flowRunId, isSubflow }: { flowRunId: string; isSubflow: boolean }): void => {
    this.known.set(flowRunId, isSubflow);
  };

  /**
   * Whether a run is, or was, a subflow. Costs a call only for a run that neither this service nor a schedule started, and
   * whose beginning was not heard.
   * @throws UpstreamError
   */
  async isSubflow(run: EndedRun): Promise<boolean> {
    if (run.parent_task_run_id !== null || run.state.state_details?.task_run_id) return true;
    if (run.auto_scheduled || run.idempotency_key?.startsWith(OWN_KEY_PREFIX)) return false;
    const known = this.known.get(run.id);
    if (known !== undefined) return known;
    const states = await runStates.list(this.client.session(), run.id);
    const isSubflow = states.some(({ state_details: details }) => Boolean(details?.task_run_id));
    this.known.set(run.id, isSubflow);
    return isSubflow;
  }
}
