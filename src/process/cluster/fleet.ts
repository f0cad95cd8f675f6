import type { Worker } from 'node:cluster';
import type { Logger } from '../../logger.js';
import type { Metrics } from '../../metrics/metrics.js';
import type { Standby } from '../../services/settlement/standby.js';
import { backoff } from './backoff.js';
import { Member, type MemberEvents } from './member.js';
import { BEAT_MS } from './messages.js';
import { Tally } from './tally.js';

export interface FleetOptions extends Pick<MemberEvents, 'hint' | 'relay' | 'relayErrors'> {
  size: number;
  /** A worker that has not been heard of for so long is killed. In milliseconds. */
  timeoutMs: number;
  /** How long a worker may drain, in milliseconds. */
  gracefulMs: number;
  fork: () => Worker;
  logger: Logger;
  /** Whether and why nothing is delivered at the moment: workers report it. */
  standby?: Standby | undefined;
  /** Where the primary counts. */
  metrics: Metrics;
}

export const MOST_WORKERS = 64;
/** A worker that served for less has ended at once. In milliseconds. */
const STABLE = 5_000;
/** A start may take so long even where WORKER_TIMEOUT is less. In milliseconds. */
const SLOW_START = 10_000;
/** A worker keeps to its times itself, and has its last words then; so much later it is killed. In milliseconds. */
const KILL_AFTER = 5_000;
const MOST_FAILED_STARTS = 5;

/**
 * The workers: keeps as many as wanted, and replaces one by one those that are stale. All that happens to them ends in
 * `reconcile`, which compares what is with what should be.
 */
export class Fleet {
  private readonly members = new Set<Member>();
  private readonly tally: Tally<Member>;
  private readonly watch: NodeJS.Timeout;
  private onStart: { resolve: (url: string) => void; reject: (reason: Error) => void } | undefined;
  private target: number;
  /** Workers in a row that ended at once. */
  private failures = 0;
  private hasServed = false;
  private readonly counts = { starts: 0, deaths: 0 };
  private isEnding = false;
  private next: NodeJS.Timeout | undefined;

  constructor(private readonly options: FleetOptions) {
    this.target = options.size;
    this.watch = this.watchBeats(Math.min(options.timeoutMs / 4, 1_000));
    this.tally = new Tally(options.metrics);
    this.addMetrics(options.metrics);
    options.standby?.onChange(() => {
      for (const member of this.members) this.tellStandby(member);
    });
  }

  /** @returns where it listens, once a first one serves. @throws Error with the reason where none comes up */
  start(): Promise<string> {
    return new Promise((resolve, reject) => {
      this.onStart = { resolve, reject };
      this.reconcile();
    });
  }

  /** Replaces all workers, one by one, each new one first. */
  reload(): void {
    this.options.logger.info('reload', { workers: this.target });
    for (const member of this.members) member.isStale = true;
    this.reconcile();
  }

  /** Wants more workers, or fewer; one at least. */
  resize(by: number): void {
    this.target = Math.min(Math.max(this.target + by, 1), MOST_WORKERS);
    this.options.logger.info('number of workers', { workers: this.target });
    this.reconcile();
  }

  /** Lets all finish what is in flight; resolves when they are gone. */
  async close(): Promise<void> {
    this.isEnding = true;
    clearTimeout(this.next);
    for (const member of this.members) {
      if (member.phase === 'starting') member.kill();
      else member.drain(false);
    }
    await Promise.all([...this.members].map(({ closed }) => closed));
    clearInterval(this.watch);
  }

  private reconcile(): void {
    if (this.isEnding) return;
    const staying = [...this.members].filter(({ phase }) => phase !== 'draining');
    const serving = staying.filter(({ phase }) => phase === 'serving');
    // Those that are to be replaced first, then the oldest.
    const surplus = [...serving]
      .sort((a, b) => Number(b.isStale) - Number(a.isStale) || b.age() - a.age())
      .slice(0, Math.max(serving.length - this.target, 0));
    for (const member of surplus) {
      this.options.logger.info('worker drains', { pid: member.pid });
      member.drain(true);
    }
    const isReplacing = serving.some((member) => member.isStale && !surplus.includes(member));
    // The first one shows whether a worker can start at all.
    const wanted = this.hasServed ? this.target + Number(isReplacing) : 1;
    const missing = wanted - (staying.length - surplus.length);
    if (missing > 0) this.add(missing);
  }

  private add(count: number): void {
    if (this.next !== undefined) return;
    const wait = backoff(this.failures);
    if (wait === 0) {
      for (let i = 0; i < count; i += 1) this.fork();
      return;
    }
    this.next = setTimeout(() => {
      this.next = undefined;
      // One: whether it stays up decides about the others.
      this.fork();
    }, wait);
  }

  private fork(): void {
    const { fork, logger, hint, relay, relayErrors } = this.options;
    let worker: Worker;
    try {
      worker = fork();
    } catch (error) {
      // No memory, for example: the workers that run are not to end with this process.
      this.failures += 1;
      const how = error instanceof Error ? error.message : String(error);
      logger.error('worker did not start', { how });
      this.tryAgain(how);
      return;
    }
    const member = new Member(worker, {
      hint,
      relay,
      relayErrors,
      onScrape: (asking) => {
        const asked = [...this.members].filter(({ phase }) => phase !== 'starting');
        void this.tally.text(asked).then((text) => {
          asking.tell({ kind: 'scraped', text });
        });
      },
      onCounted: (counting, metrics) => {
        this.tally.take(counting, metrics);
      },
      onSilence: (silent) => {
        this.tally.remove(silent);
      },
      onReady: (ready, url) => {
        this.hasServed = true;
        this.tellStandby(ready);
        logger.info('worker serves', { pid: ready.pid, ms: Math.round(ready.age()) });
        this.onStart?.resolve(url);
        this.reconcile();
      },
      onRetire: (retired, reason) => {
        logger.info('worker is to be replaced', { pid: retired.pid, reason });
        retired.isStale = true;
        this.reconcile();
      },
      onExit: (gone) => {
        this.remove(gone);
      },
    });
    this.members.add(member);
    this.counts.starts += 1;
    logger.info('worker starts', { pid: member.pid });
  }

  private tellStandby(member: Member): void {
    member.tell({ kind: 'standby', reason: this.options.standby?.reason ?? null });
  }

  private remove(gone: Member): void {
    const { logger } = this.options;
    this.members.delete(gone);
    const about = { pid: gone.pid, how: gone.ending };
    if (this.isEnding || gone.phase === 'draining') {
      logger.info('worker ended', about);
      this.reconcile();
      return;
    }
    this.counts.deaths += 1;
    this.failures = gone.servedFor() >= STABLE ? 0 : this.failures + 1;
    logger.error(gone.phase === 'starting' ? 'worker did not start' : 'worker died', about);
    this.tryAgain(gone.ending, gone.saidWhy);
  }

  /** After a failure; gives up where no worker has served yet. @param isFinal it would fail again */
  private tryAgain(how: string, isFinal = false): void {
    if (!this.hasServed && (isFinal || this.failures >= MOST_FAILED_STARTS)) {
      this.isEnding = true;
      this.onStart?.reject(new Error(`no worker comes up: ${how}`));
    } else this.reconcile();
  }

  private addMetrics(metrics: Metrics): void {
    const { counts, members } = this;
    metrics.read({
      name: 'prefect_proxy_workers_wanted',
      help: 'Worker processes that are to serve',
      type: 'gauge',
      read: () => this.target,
    });
    metrics.read({
      name: 'prefect_proxy_workers_serving',
      help: 'Worker processes that serve',
      type: 'gauge',
      read: () => [...members].filter(({ phase }) => phase === 'serving').length,
    });
    metrics.read({
      name: 'prefect_proxy_worker_starts_total',
      help: 'Worker processes that were started',
      type: 'counter',
      read: () => counts.starts,
    });
    metrics.read({
      name: 'prefect_proxy_worker_deaths_total',
      help: 'Worker processes that ended without being told to',
      type: 'counter',
      read: () => counts.deaths,
    });
  }

  private watchBeats(everyMs: number): NodeJS.Timeout {
    const { timeoutMs, gracefulMs, logger } = this.options;
    let last = performance.now();
    return setInterval(() => {
      const late = performance.now() - last - everyMs;
      last = performance.now();
      for (const member of this.members) {
        if (member.isKilled) continue;
        // This process was suspended itself: what the workers said meanwhile has not been read yet.
        if (late > BEAT_MS) member.excuse();
        const limit = member.phase === 'starting' ? Math.max(timeoutMs, SLOW_START) : timeoutMs;
        if (member.silentFor() > limit) {
          logger.error('worker hangs: killed', {
            pid: member.pid,
            silent_ms: Math.round(member.silentFor()),
          });
          member.kill();
        } else if (member.drainedFor() > gracefulMs + KILL_AFTER) {
          logger.error('worker does not end: killed', { pid: member.pid });
          member.kill();
        }
      }
    }, everyMs);
  }
}
