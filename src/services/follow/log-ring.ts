import type { Log } from '../../prefect/logs.js';

const MAX_LOGS = 2_000;
const MAX_CHARACTERS = 4_000_000;

/** The newest logs of a run, numbered in the order in which they were found; the oldest make room for new ones. */
export class LogRing {
  private readonly logs: Log[] = [];
  private readonly ids = new Set<string>();
  private characters = 0;
  /** The number of the oldest log that is still here, and the one that the next will get. */
  first = 0;
  next = 0;

  /** Takes those that are not here yet. @returns how many these are */
  add(logs: readonly Log[]): number {
    const fresh = logs.filter(({ id }) => !this.ids.has(id));
    for (const log of fresh) {
      this.logs.push(log);
      this.ids.add(log.id);
      this.characters += log.message.length;
    }
    this.next += fresh.length;
    while (this.logs.length > MAX_LOGS || (this.characters > MAX_CHARACTERS && this.logs.length > 1)) {
      const oldest = this.logs.shift();
      if (!oldest) break;
      this.ids.delete(oldest.id);
      this.characters -= oldest.message.length;
      this.first += 1;
    }
    return fresh.length;
  }

  /** Up to `limit` logs from a number on, which must not be less than `first`. */
  from(number: number, limit: number): Log[] {
    return this.logs.slice(number - this.first, number - this.first + limit);
  }

  /** The last `count` of them, the latest found at the end. */
  newest(count: number): Log[] {
    return this.logs.slice(-count);
  }
}
