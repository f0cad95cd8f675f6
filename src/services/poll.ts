import type { PrefectSession } from '../prefect/client.js';
import * as flowRuns from '../prefect/flow-runs.js';

/**
 * Polls of the same run at the same time share one upstream call. A write through the facade ends the sharing: a poll
 * that comes after it starts a call of its own, which cannot have been answered from before the write.
 */
export class RunPoller {
  private readonly underWay = new Map<string, Promise<string>>();

  /** The run's own text. The call that is shared spends the deadline of the request that began it. */
  poll(api: PrefectSession, id: string): Promise<string> {
    const shared = this.underWay.get(id);
    if (shared) return shared;
    const call = flowRuns.readText(api, id).finally(() => {
      if (this.underWay.get(id) === call) this.underWay.delete(id);
    });
    this.underWay.set(id, call);
    return call;
  }

  /** Runs a write to a run; polls that began before it ended are not shared with those that come after. */
  async writing<T>(id: string, write: () => Promise<T>): Promise<T> {
    this.underWay.delete(id);
    try {
      return await write();
    } finally {
      this.underWay.delete(id);
    }
  }
}
