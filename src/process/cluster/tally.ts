import type { Metrics } from '../../metrics/metrics.js';
import { countsOf, textOf, type Snapshot } from '../../metrics/snapshot.js';
import type { PrimaryMessage } from './messages.js';

/** A worker, as far as it counts. */
export interface Counting {
  tell(message: PrimaryMessage): void;
}

/** Who does not answer within this time is left out. In milliseconds. */
const PATIENCE_MS = 1_000;

/**
 * What all processes have counted. Sums never fall: of a worker that has ended, or does not answer, the counts that it
 * told last go on counting; what one that crashed has counted since then is lost.
 */
export class Tally<T extends Counting> {
  private readonly last = new Map<T, Snapshot>();
  private ended: Snapshot = [];
  /** Workers that are asked and have not answered yet. */
  private readonly missing = new Set<T>();
  private onComplete: (() => void) | undefined;
  private underWay: Promise<string> | undefined;

  /** @param own of the primary itself */
  constructor(private readonly own: Metrics) {}

  /** Takes what a worker has counted. */
  take(worker: T, metrics: Snapshot): void {
    this.last.set(worker, metrics);
    this.answered(worker);
  }

  /** A worker tells nothing more. */
  remove(worker: T): void {
    const last = this.last.get(worker);
    if (last) this.ended = countsOf([this.ended, last]);
    this.last.delete(worker);
    this.answered(worker);
  }

  /** Everything, in Prometheus' text format; those who ask at the same time share it. */
  text(workers: Iterable<T>): Promise<string> {
    this.underWay ??= this.collect([...workers]).finally(() => {
      this.underWay = undefined;
    });
    return this.underWay;
  }

  private async collect(workers: T[]): Promise<string> {
    await this.askAll(workers);
    const silent = [...this.missing];
    const answered = [...this.last].filter(([worker]) => !this.missing.has(worker));
    this.missing.clear();
    return textOf([
      await this.own.snapshot(),
      ...answered.map(([, metrics]) => metrics),
      countsOf([this.ended, ...silent.map((worker) => this.last.get(worker) ?? [])]),
    ]);
  }

  private askAll(workers: T[]): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, PATIENCE_MS);
      this.onComplete = () => {
        clearTimeout(timer);
        resolve();
      };
      for (const worker of workers) this.missing.add(worker);
      for (const worker of workers) worker.tell({ kind: 'count' });
      if (workers.length === 0) this.onComplete();
    });
  }

  private answered(worker: T): void {
    this.missing.delete(worker);
    if (this.missing.size === 0) this.onComplete?.();
  }
}
