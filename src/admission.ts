/** What goes first when not all can, the most urgent first. */
export const PRIORITIES = ['high', 'normal', 'low'] as const;
export type Priority = (typeof PRIORITIES)[number];

const RANK = { high: 0, normal: 1, low: 2 } as const satisfies Record<Priority, number>;

export interface AdmissionOptions {
  /** How many may be under way at once; an eighth of it is kept for `high`, a half from `low`. */
  slots: number;
  /** How many may wait for a slot. */
  waiting: number;
}

export interface Waiting {
  /** Milliseconds to wait at most. */
  patienceMs: number;
  /** Ends the waiting. */
  gone?: AbortSignal | undefined;
}

/** Why one that waited was not let in: others were more urgent and all places taken, its time was over, it left, or nobody is let in any more. */
export class NotAdmitted extends Error {
  constructor(readonly reason: 'full' | 'late' | 'gone' | 'closed') {
    super(`not admitted: ${reason}`);
  }
}

interface Waiter {
  enter: () => void;
  refuse: (reason: NotAdmitted['reason']) => void;
}

/**
 * A bounded number of things under way, and a bounded number that wait for their turn: by priority, then in the order
 * they came. Those who take a slot give it back by `leave` with the same priority.
 */
export class Admission {
  /** Slots that a rank and those below it may have. Each rank is within all above it: so none overtakes them. */
  private readonly limits: readonly number[];
  private readonly taken = PRIORITIES.map(() => 0);
  private readonly queues = PRIORITIES.map(() => new Set<Waiter>());

  constructor(private readonly options: AdmissionOptions) {
    const { slots } = options;
    const kept = (part: number) => Math.max(1, slots - Math.floor(slots * part));
    this.limits = [slots, kept(1 / 8), kept(1 / 2)];
  }

  get underWay(): number {
    return this.taken[0] ?? 0;
  }

  get waiting(): number {
    return this.queues.reduce((sum, queue) => sum + queue.size, 0);
  }

  /** Takes a slot where one is free, which it never is while one of the same or a higher priority waits. */
  tryEnter(priority: Priority): boolean {
    return this.enter(RANK[priority]);
  }

  /**
   * Waits for a slot. Where no more may wait, whoever has the lowest priority and has waited longest gives way.
   * @throws NotAdmitted
   */
  wait(priority: Priority, { patienceMs, gone }: Waiting): Promise<void> {
    const rank = RANK[priority];
    if (gone?.aborted) return Promise.reject(new NotAdmitted('gone'));
    if (this.waiting >= this.options.waiting && !this.makeRoom(rank)) {
      return Promise.reject(new NotAdmitted('full'));
    }
    return new Promise((resolve, reject) => {
      const queue = this.queues[rank];
      const onGone = () => {
        waiter.refuse('gone');
      };
      const timer = setTimeout(() => {
        waiter.refuse('late');
      }, patienceMs);
      const end = () => {
        clearTimeout(timer);
        gone?.removeEventListener('abort', onGone);
        queue?.delete(waiter);
      };
      const waiter: Waiter = {
        enter: () => {
          end();
          resolve();
        },
        refuse: (reason) => {
          end();
          reject(new NotAdmitted(reason));
        },
      };
      gone?.addEventListener('abort', onGone, { once: true });
      queue?.add(waiter);
    });
  }

  /** Gives a slot back: to the next one who waits, where there is one. */
  leave(priority: Priority): void {
    for (let rank = RANK[priority]; rank >= 0; rank -= 1) this.add(rank, -1);
    for (const [rank, queue] of this.queues.entries()) {
      for (const waiter of queue) {
        if (!this.enter(rank)) break;
        waiter.enter();
      }
    }
  }

  /** Sends all away who wait. */
  refuseAll(): void {
    for (const queue of this.queues) for (const waiter of [...queue]) waiter.refuse('closed');
  }

  private enter(rank: number): boolean {
    for (let above = rank; above >= 0; above -= 1) {
      if ((this.taken[above] ?? 0) >= (this.limits[above] ?? 0)) return false;
    }
    for (let above = rank; above >= 0; above -= 1) this.add(above, 1);
    return true;
  }

  private add(rank: number, count: number): void {
    this.taken[rank] = (this.taken[rank] ?? 0) + count;
  }

  /** Sends one away who is less urgent. @returns whether there was one */
  private makeRoom(rank: number): boolean {
    const lower = this.queues.findLast((queue, index) => index > rank && queue.size > 0);
    const [oldest] = lower ?? [];
    oldest?.refuse('full');
    return oldest !== undefined;
  }
}
