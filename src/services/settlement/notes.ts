import type { LimitFunction } from 'p-limit';
import type { PrefectClient } from '../../prefect/client.js';
import { addLabels } from '../../prefect/ended-runs.js';

/**
 * Writes labels of runs: of one run one after the other, because Prefect reads all of them, changes some and writes all
 * back - two at once may lose one.
 */
export class Notes {
  private readonly last = new Map<string, Promise<void>>();

  constructor(private readonly client: PrefectClient) {}

  /**
   * `PATCH /flow_runs/{id}/labels`.
   * @param turns how many such writes at once: SQLite has one writer
   * @throws UpstreamError
   */
  async add(id: string, labels: Record<string, string>, turns: LimitFunction): Promise<void> {
    const before = this.last.get(id) ?? Promise.resolve();
    const write = () => turns(() => addLabels(this.client.session(), id, labels));
    const mine = before.then(write, write);
    this.last.set(id, mine);
    try {
      await mine;
    } finally {
      if (this.last.get(id) === mine) this.last.delete(id);
    }
  }
}
