import type { StateChange } from '../../prefect/state-change.js';

export interface Task {
  /** The state that is being settled, where it is known. */
  stateId?: string | undefined;
  /** How often a run that has not ended may be read again. */
  rechecks: number;
  /** When the run ended, ISO. */
  endTime?: string | undefined;
  /** What a source said of its end. */
  end?: StateChange | undefined;
  /** The state of a missing run whose delivery is noted as pending. */
  notedState?: string;
  /** How often nothing was found of a run that is gone. */
  lookups?: number;
  /** What waits for the host need not wait: it has just answered. */
  hurry?: boolean;
  /** To be done again, whatever the labels say. */
  replay?: boolean | undefined;
  /** Failures in a row. */
  failures: number;
  timer?: NodeJS.Timeout | undefined;
  /** Something new was heard while it was under way. */
  again?: boolean;
  isUnderWay?: boolean;
}

export type NewTask = Pick<Task, 'stateId' | 'rechecks' | 'endTime' | 'end' | 'replay'>;

/** Seconds until the next try of what failed, by failures in a row; the last one from then on. */
const RETRY_SECONDS = [5, 10, 20, 40, 80, 160, 300];

/** What is to be done for which run, and when: each run once at a time, again where it says so, later where it fails. */
export class Agenda {
  private readonly tasks = new Map<string, Task>();
  private readonly underWay = new Set<Promise<void>>();
  private isClosed = false;

  /**
   * @param work returns seconds after which it is done again, undefined when it is finished
   * @param onFailure is told why a work failed that will be tried again
   */
  constructor(
    private readonly work: (id: string, task: Task) => Promise<number | undefined>,
    private readonly onFailure: (id: string, error: unknown) => void,
  ) {}

  /**
   * Puts a run on the agenda. One that waits with the same state goes on waiting, unless it waits because something
   * failed. Once it is closed nothing is done any more, but what comes still counts as open.
   */
  add(id: string, { stateId, rechecks, endTime, end, replay }: NewTask, delayMs: number): void {
    const known = this.tasks.get(id);
    if (!known) {
      const task: Task = { stateId, rechecks, endTime, end, replay, failures: 0 };
      this.tasks.set(id, task);
      this.start(id, task, delayMs);
      return;
    }
    known.endTime = endTime ?? known.endTime;
    known.end = end ?? known.end;
    known.replay ||= replay;
    if (stateId !== undefined && known.stateId === stateId && known.failures === 0) return;
    known.stateId = stateId ?? known.stateId;
    known.rechecks = Math.max(known.rechecks, rechecks);
    if (known.isUnderWay) known.again = true;
    else this.start(id, known, delayMs);
  }

  /** The runs on it. */
  get size(): number {
    return this.tasks.size;
  }

  /** Does at once what waits. */
  hurryAll(): void {
    for (const [id, task] of this.tasks) {
      task.hurry = true;
      if (task.isUnderWay) task.again = true;
      else this.start(id, task, 0);
    }
  }

  /** Does one of those that wait at once, whichever: the same one each time may be the one that always fails. */
  hurryAny(): void {
    const waiting = [...this.tasks].filter(([, task]) => !task.isUnderWay);
    const chosen = waiting[Math.floor(Math.random() * waiting.length)];
    if (!chosen) return;
    const [id, task] = chosen;
    task.hurry = true;
    this.start(id, task, 0);
  }

  /** The earliest end among the runs on it. */
  earliestEnd(): string | undefined {
    let earliest: string | undefined;
    for (const { endTime } of this.tasks.values()) {
      if (endTime !== undefined && (earliest === undefined || endTime < earliest)) earliest = endTime;
    }
    return earliest;
  }

  /** Starts nothing more; resolves when nothing is under way. */
  async close(): Promise<void> {
    this.isClosed = true;
    for (const task of this.tasks.values()) clearTimeout(task.timer);
    await Promise.all(this.underWay);
  }

  private start(id: string, task: Task, delayMs: number): void {
    if (this.isClosed) return;
    clearTimeout(task.timer);
    task.timer = setTimeout(() => {
      const run = this.run(id, task).finally(() => this.underWay.delete(run));
      this.underWay.add(run);
    }, delayMs);
  }

  private async run(id: string, task: Task): Promise<void> {
    task.isUnderWay = true;
    const seconds = await this.attempt(id, task);
    task.isUnderWay = false;
    if (task.again) {
      task.again = false;
      this.start(id, task, 0);
      return;
    }
    task.hurry = false;
    if (seconds !== undefined) this.start(id, task, Math.min(seconds * 1000, MAX_TIMER_MS));
    else this.tasks.delete(id);
  }

  private async attempt(id: string, task: Task): Promise<number | undefined> {
    try {
      const seconds = await this.work(id, task);
      task.failures = 0;
      return seconds;
    } catch (error) {
      if (!this.isClosed) this.onFailure(id, error);
      return retrySeconds(task.failures++);
    }
  }
}

/** Seconds to wait after so many failures before this one. */
function retrySeconds(failures: number): number {
  return RETRY_SECONDS[Math.min(failures, RETRY_SECONDS.length - 1)] ?? 0;
}

/** Longer ones fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;
