import type { Logger } from '../../logger.js';
import type { EndedRun } from '../../prefect/ended-runs.js';
import { holdsAny } from '../../schemas/resources.js';
import { declaredBy, LivesAgain, type Cleanup } from './cleanup.js';
import { wordOf, type Step, type Work } from './desk.js';
import { cleanedLabel, isDelivered, isNotStarted, type Progress } from './progress.js';

export interface CleaningOptions {
  cleanup: Cleanup;
  logger: Logger;
  /** Seconds for which a failed or crashed run keeps what it declared, so that it can be retried. */
  graceSeconds: number;
  /** Seconds by which clean-up comes later than it could: another instance does it first. */
  behindSeconds: () => number;
  /** Whether a run is in a state now. */
  isIn: (flowRunId: string, stateId: string) => Promise<boolean>;
}

/** Seconds after which a clean-up that failed is tried again. */
const RETRY_SECONDS = 10;

/** Cleans up after a run until nothing is left. What is gone already is success, so everything may be done twice. */
export class Cleaning implements Work {
  readonly name = 'clean up after a run';
  readonly counts = { done: 0, failedAttempts: 0 };

  constructor(private readonly options: CleaningOptions) {}

  readonly isDone = ({ isCleaned }: Progress): boolean => isCleaned;
  readonly isOtherDone = isDelivered;

  readonly step = async (run: EndedRun): Promise<Step> => {
    const { cleanup, logger } = this.options;
    const declared = declaredBy(run);
    if (declared === 'unreadable') logger.warn('clean-up label not understood', { flow_run: run.id });
    const held = declared === 'unreadable' ? undefined : declared;
    const wait = held && holdsAny(held) ? this.graceLeft(run) : 0;
    try {
      await Promise.all([
        cleanup.releaseSlots(run),
        held && holdsAny(held) && wait <= 0
          ? cleanup.releaseDeclared(held, () => this.options.isIn(run.id, run.state.id))
          : undefined,
      ]);
    } catch (error) {
      if (error instanceof LivesAgain) return { again: 0 };
      this.counts.failedAttempts += 1;
      logger.warn('clean-up failed', { flow_run: run.id, error: wordOf(error) });
      return { again: RETRY_SECONDS };
    }
    if (wait > 0) return { again: wait + this.options.behindSeconds() };
    this.counts.done += 1;
    return { labels: cleanedLabel(run) };
  };

  /**
   * A run that completed or was cancelled is over. One that failed may be retried and needs what it holds; one that nobody
   * started is asked for again.
   */
  private graceLeft({ labels, state }: EndedRun): number {
    const isOver = state.type === 'COMPLETED' || state.type === 'CANCELLED';
    if (isOver && !isNotStarted(labels, state.type)) return 0;
    return this.options.graceSeconds - (Date.now() - Date.parse(state.timestamp)) / 1000;
  }
}
