import { setTimeout as sleep } from 'node:timers/promises';
import type { WriteTarget } from './write-targets.js';

export interface LineSinkEvents {
  /** Called once when text can no longer be written, or lines are dropped because they are taken too slowly. */
  onTrouble: (reason: string) => void;
  /** Called when text is written again. @param dropped lines that were dropped meanwhile */
  onRecovery: (dropped: number, reason: string) => void;
}

/** What may wait to be written, in characters: some ten thousand lines. */
const MAX_WAITING = 4 * 1024 * 1024;
/** In milliseconds: between two attempts at what could not be written. */
const RETRY_MS = 1_000;
/** In milliseconds: the same where nothing is taken at this moment. */
const BUSY_MS = 20;
/** In milliseconds: a reader that is always a little too slow is not reported with each chunk. */
const REPORT_EVERY_MS = 10_000;
/** In milliseconds: what cannot be written within this time at the end is lost. */
const LAST_WORDS_MS = 1_000;

/**
 * Writes lines to one place and holds up nothing: `write` only remembers them, up to a limit; what does not fit is
 * dropped and counted. The lines of one turn of the event loop are one write, which is most of what a line costs. Where
 * writing fails (a full disk, a pipe without a reader), it is tried again each second until it succeeds.
 */
export class LineSink {
  /** Lines that were dropped since the start. */
  dropped = 0;
  private waiting = '';
  /** What was begun to be written. */
  private current: { bytes: Buffer; offset: number } | undefined;
  private running: Promise<void> | undefined;
  private isWriting = false;
  private isFailing = false;
  private trouble: { reason: string; dropped: number } | undefined;
  private reportedAt = -Infinity;
  private reportTimer: NodeJS.Timeout | undefined;
  private readonly closing = new AbortController();

  constructor(
    private readonly target: WriteTarget,
    private readonly events: LineSinkEvents,
  ) {
    process.on('exit', this.writeLastWords);
  }

  /** @param text whole lines, with their ends @param lines how many of them there are */
  write(text: string, lines = 1): void {
    if (this.closing.signal.aborted || this.waiting.length + text.length > MAX_WAITING) {
      this.drop(lines);
      return;
    }
    this.waiting += text;
    this.running ??= new Promise((resolve) => {
      setImmediate(() => {
        void this.run().then(resolve);
      });
    });
  }

  /** Writes what waits, as far as that is possible within a second, and takes nothing more. */
  async close(): Promise<void> {
    this.closing.abort();
    clearTimeout(this.reportTimer);
    const written = new AbortController();
    const late = sleep(LAST_WORDS_MS, undefined, { signal: written.signal }).catch(() => undefined);
    await Promise.race([this.running, late]);
    written.abort();
    process.off('exit', this.writeLastWords);
    await this.target.close();
  }

  private async run(): Promise<void> {
    for (let next = this.next(); next !== undefined; next = this.next()) {
      const { bytes, offset } = next;
      const written = await this.attempt(bytes, offset);
      if (written === undefined) {
        if (this.closing.signal.aborted) break;
        await sleep(RETRY_MS, undefined, { signal: this.closing.signal, ref: false }).catch(() => undefined);
      } else if (written === 0) {
        await sleep(BUSY_MS, undefined, { ref: false });
      } else {
        this.current = offset + written < bytes.length ? { bytes, offset: offset + written } : undefined;
      }
    }
    this.running = undefined;
  }

  /** What is to be written next; undefined where there is nothing. */
  private next(): { bytes: Buffer; offset: number } | undefined {
    this.take();
    // Once there is room: it makes a line itself.
    this.report();
    this.take();
    return this.current;
  }

  private take(): void {
    if (this.current !== undefined || this.waiting === '') return;
    this.current = { bytes: Buffer.from(this.waiting), offset: 0 };
    this.waiting = '';
  }

  /** @returns how many bytes were taken; undefined where it failed */
  private async attempt(bytes: Buffer, offset: number): Promise<number | undefined> {
    this.isWriting = true;
    try {
      const written = await this.target.write(bytes, offset);
      this.isFailing = false;
      return written;
    } catch (error) {
      this.isFailing = true;
      this.begin(error instanceof Error && 'code' in error ? String(error.code) : 'unknown');
      return undefined;
    } finally {
      this.isWriting = false;
    }
  }

  private drop(lines: number): void {
    this.dropped += lines;
    const trouble = this.trouble ?? this.begin('slow');
    trouble.dropped += lines;
  }

  private begin(reason: string): { reason: string; dropped: number } {
    if (this.trouble) return this.trouble;
    const trouble = { reason, dropped: 0 };
    // Before it is told of: that may be one line more to drop.
    this.trouble = trouble;
    this.events.onTrouble(reason);
    return trouble;
  }

  private report(): void {
    if (!this.trouble || this.isFailing) return;
    const early = this.reportedAt + REPORT_EVERY_MS - performance.now();
    if (early > 0) {
      this.reportTimer ??= setTimeout(() => {
        this.reportTimer = undefined;
        this.report();
      }, early).unref();
      return;
    }
    const { reason, dropped } = this.trouble;
    this.trouble = undefined;
    this.reportedAt = performance.now();
    this.events.onRecovery(dropped, reason);
  }

  /** The process ends at this moment: nothing can be waited for. */
  private readonly writeLastWords = (): void => {
    const begun = this.isWriting ? undefined : this.current?.bytes.subarray(this.current.offset);
    this.target.writeNow(Buffer.concat([...(begun ? [begun] : []), Buffer.from(this.waiting)]));
  };
}
