import { UpstreamError } from './errors.js';

/**
 * Consecutive failures that open the breaker. A healthy server on SQLite answers 503 to one call in three at worst:
 * 15 of those in a row are one in 14 million.
 */
const FAILURES_TO_OPEN = 15;
/** While it is open, one call in this time is let through to try. In milliseconds, by a clock that is never set. */
const TRY_EVERY = 1_000;

/** Stops calling an orchestrator that fails again and again (5xx, unreachable, too slow; never a 4xx). */
export class Breaker {
  /** How often it opened. */
  openings = 0;
  private failures = 0;
  private nextTry = 0;
  private lastSuccess = -Infinity;

  /** Until a call succeeds, also while one is let through to try. */
  get isOpen(): boolean {
    return this.failures >= FAILURES_TO_OPEN;
  }

  /**
   * Lets a call through, or not. While it is open, one a second may try, whatever became of the one before: a try that
   * hangs must not hide that the orchestrator is back.
   * @throws UpstreamError `breaker` while the orchestrator is left alone
   */
  admit(now = performance.now()): void {
    this.check(now);
    if (this.isOpen) this.nextTry = now + TRY_EVERY;
  }

  /** As `admit`, for a call that is not sent yet. */
  check(now = performance.now()): void {
    if (this.isOpen && now < this.nextTry) {
      throw new UpstreamError('breaker', { retryAfterSeconds: 1, sent: false });
    }
  }

  succeeded(now = performance.now()): void {
    this.failures = 0;
    this.lastSuccess = now;
  }

  /** @param began when the call did: one that was sent before another one succeeded says nothing about now */
  failed(began: number, now = performance.now()): void {
    if (began < this.lastSuccess) return;
    this.failures += 1;
    if (this.failures !== FAILURES_TO_OPEN) return;
    this.openings += 1;
    this.nextTry = now + TRY_EVERY;
  }
}
