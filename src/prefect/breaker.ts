import { UpstreamError } from './errors.js';

/**
 * Consecutive failures that open the breaker. A healthy server on SQLite answers 503 to one call in three at worst:
 * 15 of those in a row are one in 14 million.
 */
const FAILURES_TO_OPEN = 15;
const OPEN_MS = 5_000;

/** Stops calling an orchestrator that fails again and again (5xx, unreachable, too slow; never a 4xx). */
export class Breaker {
  /** How often it opened. */
  openings = 0;
  private failures = 0;
  private openUntil = 0;
  private probing = false;

  /** Until a call succeeds, also while one is let through to try. */
  get isOpen(): boolean {
    return this.failures >= FAILURES_TO_OPEN;
  }

  /** @throws UpstreamError `breaker` while the orchestrator is left alone; one call at a time may try it */
  admit(now = Date.now()): void {
    if (!this.isOpen) return;
    if (now < this.openUntil || this.probing) {
      throw new UpstreamError('breaker', {
        retryAfterSeconds: Math.max(1, (this.openUntil - now) / 1000),
        sent: false,
      });
    }
    this.probing = true;
  }

  succeeded(): void {
    this.failures = 0;
    this.probing = false;
  }

  /** It answered, but neither well nor badly. */
  undecided(): void {
    this.probing = false;
  }

  failed(now = Date.now()): void {
    this.probing = false;
    this.failures += 1;
    if (this.failures === FAILURES_TO_OPEN) this.openings += 1;
    if (this.isOpen) this.openUntil = now + OPEN_MS;
  }
}
