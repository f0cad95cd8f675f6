import type { PrefectSession } from '../prefect/client.js';
import * as flowRuns from '../prefect/flow-runs.js';

interface SharedPoll {
  id: string;
  text: Promise<string>;
}

/**
 * A Map would leave its outgrown tables behind, each holding on to the next, and keep the texts of thousands of
 * replies alive until a full collection. Short lists, found by the last digits of the id, leave nothing.
 */
const LISTS = 256;

/**
 * Polls of the same run at the same time share one upstream call. A write through the facade ends the sharing: a poll
 * that comes after it starts a call of its own, which cannot have been answered from before the write.
 */
export class RunPoller {
  private readonly underWay: SharedPoll[][] = Array.from({ length: LISTS }, () => []);

  /**
   * The run's own text. The call that is shared spends the deadline of the request that began it.
   * @param id a UUID in its usual form
   */
  poll(api: PrefectSession, id: string): Promise<string> {
    const list = this.listOf(id);
    const shared = list.find((poll) => poll.id === id);
    if (shared) return shared.text;
    const poll = {
      id,
      text: flowRuns.readText(api, id).finally(() => {
        remove(list, poll);
      }),
    };
    list.push(poll);
    return poll.text;
  }

  /** Runs a write to a run; polls that began before it ended are not shared with those that come after. */
  async writing<T>(id: string, write: () => Promise<T>): Promise<T> {
    this.forget(id);
    try {
      return await write();
    } finally {
      this.forget(id);
    }
  }

  private forget(id: string): void {
    const list = this.listOf(id);
    const poll = list.find((one) => one.id === id);
    if (poll) remove(list, poll);
  }

  private listOf(id: string): SharedPoll[] {
    return this.underWay[parseInt(id.slice(-2), 16) % LISTS] ?? [];
  }
}

function remove(list: SharedPoll[], poll: SharedPoll): void {
  const index = list.indexOf(poll);
  if (index !== -1) list.splice(index, 1);
}
