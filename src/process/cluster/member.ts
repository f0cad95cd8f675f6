import type { Worker } from 'node:cluster';
import type { Snapshot } from '../../metrics/snapshot.js';
import type { OnHint } from '../../services/hints.js';
import { relayLines } from './lines.js';
import { workerMessage, type PrimaryMessage } from './messages.js';

export interface MemberEvents {
  onReady: (member: Member, url: string) => void;
  /** It wants to be replaced. */
  onRetire: (member: Member, reason: string) => void;
  /** It cannot be heard of any more; its last word is told. */
  onSilence: (member: Member) => void;
  /** Its process is over. */
  onExit: (member: Member) => void;
  hint: OnHint;
  /** It was asked for the numbers of all processes. */
  onScrape: (member: Member) => void;
  /** It said what it has counted. */
  onCounted: (member: Member, metrics: Snapshot) => void;
  /** Takes the log lines that it writes. */
  relay: (lines: string) => void;
  /** Takes what it writes to stderr. */
  relayErrors: (lines: string) => void;
}

/** One worker process, as the primary sees it. */
export class Member {
  phase: 'starting' | 'serving' | 'draining' = 'starting';
  /** It is to be replaced. */
  isStale = false;
  /** It told why it cannot start. */
  saidWhy = false;
  isKilled = false;
  /** How it ended: in its own words, else how its process did. */
  ending = '';
  readonly pid: number;
  /** Resolves when its process is over and its last line is relayed. */
  readonly closed: Promise<void>;
  private readonly started = performance.now();
  private servingSince: number | undefined;
  private drainingSince: number | undefined;
  private lastBeat = this.started;

  constructor(
    private readonly worker: Worker,
    private readonly events: MemberEvents,
  ) {
    const { process } = worker;
    this.pid = process.pid ?? 0;
    if (process.stdout) relayLines(process.stdout, events.relay);
    if (process.stderr) relayLines(process.stderr, events.relayErrors);
    worker.on('message', (message: unknown) => {
      this.listen(message);
    });
    // Not `exit`, which may come before its last message.
    worker.once('disconnect', () => {
      events.onSilence(this);
    });
    worker.once('exit', (code: number | null, signal: string | null) => {
      this.ending ||= signal ? `ended by ${signal}` : `ended with code ${code ?? 'unknown'}`;
      events.onExit(this);
    });
    this.closed = new Promise((resolve) => {
      process.once('close', () => {
        resolve();
      });
      // Always listened to: what is sent to a process that has just died comes back as an error, too.
      worker.on('error', (error) => {
        // It could not even be spawned: there will be no exit.
        if (this.pid !== 0 || this.ending !== '') return;
        this.ending = error.message;
        events.onExit(this);
        resolve();
      });
    });
  }

  /** Milliseconds since it was started. */
  age(): number {
    return performance.now() - this.started;
  }

  /** Milliseconds since it began to serve; 0 where it never did. */
  servedFor(): number {
    return this.servingSince === undefined ? 0 : performance.now() - this.servingSince;
  }

  /** Milliseconds since it was told to drain; 0 where it was not. */
  drainedFor(): number {
    return this.drainingSince === undefined ? 0 : performance.now() - this.drainingSince;
  }

  /** Milliseconds since its last sign of life. */
  silentFor(): number {
    return performance.now() - this.lastBeat;
  }

  /** Counts as a sign of life: nothing could be heard meanwhile. */
  excuse(): void {
    this.lastBeat = performance.now();
  }

  /** Asks it to finish what is in flight and to end. @param replaced another worker serves in its place */
  drain(replaced: boolean): void {
    this.phase = 'draining';
    this.drainingSince ??= performance.now();
    this.tell({ kind: 'drain', replaced });
  }

  tell(message: PrimaryMessage): void {
    // Where its channel is closed it is ending already.
    if (this.worker.isConnected()) this.worker.send(message, () => undefined);
  }

  kill(): void {
    this.isKilled = true;
    this.worker.process.kill('SIGKILL');
  }

  private listen(received: unknown): void {
    const { data: message } = workerMessage.safeParse(received);
    if (!message) return;
    this.excuse();
    switch (message.kind) {
      case 'ready':
        if (this.phase !== 'starting') return;
        this.phase = 'serving';
        this.servingSince = performance.now();
        this.events.onReady(this, message.url);
        return;
      case 'failed':
        this.saidWhy = true;
        this.ending = message.reason;
        return;
      case 'retire':
        this.events.onRetire(this, message.reason);
        return;
      case 'leaving':
        // Behind all that was sent to it before, so that it hands back what it cannot serve.
        this.tell({ kind: 'leave' });
        return;
      case 'hint':
        this.events.hint(message.hint);
        return;
      case 'scrape':
        this.events.onScrape(this);
        return;
      case 'counted':
        this.events.onCounted(this, message.metrics);
        return;
      case 'beat':
    }
  }
}
