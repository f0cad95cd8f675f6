import type { Logger } from '../../logger.js';
import type { PrefectClient } from '../../prefect/client.js';
import { listEndedIds } from '../../prefect/unreadable-runs.js';
import type { Channel } from './channel.js';
import { wordOf } from './desk.js';
import type { Position, Role, SharedPosition } from './position.js';
import type { Settlement } from './settlement.js';
import { sweep } from './sweep.js';

export interface ReconcilerOptions {
  client: PrefectClient;
  settlement: Settlement;
  shared: SharedPosition;
  channel: Channel;
  logger: Logger;
  intervalSeconds: number;
  /** How far the first sweep ever looks back. */
  lookbackSeconds: number;
  /** Is told when this instance becomes another than it was. */
  onRole: (role: Role) => void;
}

/** Runs may be seen later than they ended by the orchestrator's clock (a slow transaction, another server's clock). */
const OVERLAP_SECONDS = 60;
/** A terminal state may follow another one, and Prefect keeps the first end: each so many sweeps look back further. */
const DEEP_SWEEP_EVERY = 20;
/** A position that is later by more than clocks differ is nobody's. */
const FUTURE_MS = 3_600_000;
/** After a sweep that failed. */
const RETRY_SECONDS = 2;
/** How often an instance that stands by looks whether the other one has handed over or fallen silent. */
const STANDBY_SECONDS = 5;
/** Failures after which an instance that could never read its Variable works without it: hints are better than nothing. */
const BLIND_FAILURES = 10;

export interface ReconcilerCounts {
  sweeps: number;
  failures: number;
  lastEpochSeconds: number | undefined;
  lastSeconds: number | undefined;
}

/** Looks again and again for runs that have ended and are not settled: what every other source may have missed. */
export class Reconciler {
  /** Sweeps since the start, and the last one that came to its end: when, and how long it took. */
  readonly counts: ReconcilerCounts = {
    sweeps: 0,
    failures: 0,
    lastEpochSeconds: undefined,
    lastSeconds: undefined,
  };
  private role: Role | undefined;
  private isFirst = true;
  private sweeps = 0;
  private position: string | undefined;
  private timer: NodeJS.Timeout | undefined;
  private tick: Promise<void> = Promise.resolve();
  private isClosed = false;
  private isFailing = false;

  constructor(private readonly options: ReconcilerOptions) {
    options.settlement.setRole(undefined);
  }

  /** Whether this instance is the one that sweeps. */
  get leads(): boolean {
    return this.role === 'leader';
  }

  /** Whether another instance delivers to another host under the same name. */
  get standsBy(): boolean {
    return this.role === 'standby';
  }

  /** Sweeps now and then once an interval. */
  start(): void {
    this.timer = undefined;
    this.tick = this.sweepOnce().finally(() => {
      if (this.isClosed) return;
      this.timer = setTimeout(() => {
        this.start();
      }, this.pauseSeconds() * 1000);
    });
  }

  /** Sweeps now instead of at the end of the interval; nothing changes while a sweep is under way. */
  sweepSoon(): void {
    if (this.timer === undefined || this.isClosed) return;
    clearTimeout(this.timer);
    this.start();
  }

  /** Begins no further sweep; waits for the one under way, which is broken off. */
  async stop(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.timer);
    await this.tick;
  }

  /** Lets another instance lead from here; what is open still is handed over, too. */
  async handOver(): Promise<void> {
    const position = this.current();
    // Before a whole sweep of ours the Variable knows more than we do.
    if (this.leads && !this.isFirst && position) {
      await this.options.shared.handOver(this.options.client.session(), position).catch(() => undefined);
    }
  }

  private pauseSeconds(): number {
    const { intervalSeconds } = this.options;
    if (this.isFailing) return Math.min(RETRY_SECONDS, intervalSeconds);
    return this.standsBy ? Math.min(STANDBY_SECONDS, intervalSeconds) : intervalSeconds;
  }

  private async sweepOnce(): Promise<void> {
    const { client, shared, settlement, channel, logger } = this.options;
    try {
      const { position, role } = await shared.read(client.session());
      if (position?.since !== undefined) channel.beginAt(position.since);
      else if (!position && !channel.isDefault && this.isFirst) await this.beginChannel();
      this.setRole(role);
      if (this.leads) settlement.probeHost();
      if (this.leads && this.isFirst) await settlement.resume();
      // The first one is everybody's: what ended while all of ours was down does not wait for a leader.
      if (this.leads || (this.isFirst && !this.standsBy)) await this.advance(position);
      if (this.isFailing) logger.info('reconciler works again');
      this.isFailing = false;
    } catch (error) {
      if (!this.isFailing) logger.warn('reconciler failed', { error: wordOf(error) });
      this.counts.failures += 1;
      this.isFailing = true;
      if (this.role === undefined && this.counts.failures >= BLIND_FAILURES) this.setRole('follower');
    }
  }

  /**
   * A host that is added later gets no old news: its channel begins now, unless runs show that only its Variable is lost.
   */
  private async beginChannel(): Promise<void> {
    const { client, channel, lookbackSeconds } = this.options;
    if (channel.begunAt !== undefined) return;
    const begun = isoBefore(Date.now(), 0);
    const pages = sweep(() => client.session(), {
      size: client,
      from: isoBefore(Date.now(), lookbackSeconds),
      onUnreadable: () => undefined,
    });
    for await (const runs of pages) if (runs.some((run) => channel.hasNoted(run))) return;
    channel.beginAt(begun);
  }

  private async advance(stored: Position | undefined): Promise<void> {
    const started = performance.now();
    const isComplete = await this.sweepFrom(this.startOf(stored));
    if (!isComplete) return;
    this.counts.sweeps += 1;
    this.counts.lastEpochSeconds = Date.now() / 1000;
    this.counts.lastSeconds = (performance.now() - started) / 1000;
    this.isFirst = false;
    const reached = this.current();
    if (this.leads && reached) await this.options.shared.write(this.options.client.session(), reached);
  }

  private setRole(role: Role): void {
    if (role === this.role) return;
    this.role = role;
    // What the leader before had open is only known from the Variable.
    if (role === 'leader') this.isFirst = true;
    this.options.settlement.setRole(role);
    this.options.onRole(role);
  }

  private startOf(stored: Position | undefined): string {
    const lookback = isoBefore(Date.now(), this.options.lookbackSeconds);
    this.sweeps += 1;
    const known = this.isFirst ? [stored?.position, stored?.open_since] : [this.position];
    if (!this.isFirst && this.sweeps % DEEP_SWEEP_EVERY === 0) known.push(lookback);
    const latest = isoBefore(Date.now() + FUTURE_MS, 0);
    return known.filter((time) => typeof time === 'string' && time <= latest).sort()[0] ?? lookback;
  }

  /** @returns whether it came to the end */
  private async sweepFrom(from: string): Promise<boolean> {
    const { client, settlement, logger } = this.options;
    let latest = this.position ?? from;
    const seen = new Set<string>();
    let unreadable = 0;
    const begin = isoBefore(Date.parse(from), OVERLAP_SECONDS);
    const pages = sweep(() => client.session(), {
      size: client,
      from: begin,
      onUnreadable: (before) => {
        unreadable += 1;
        logger.error('the orchestrator cannot show a flow run', { ended_before: before });
      },
    });
    for await (const runs of pages) {
      for (const run of runs) {
        seen.add(run.id);
        if (run.end_time > latest) latest = run.end_time;
        if (!settlement.isFinished(run)) settlement.found(run);
      }
      if (this.isClosed) return false;
    }
    this.position = latest;
    if (unreadable > 0) await this.hintUnreadable(begin, seen);
    return true;
  }

  /** Lists show none of these runs, but one route tells their ids. */
  private async hintUnreadable(from: string, seen: ReadonlySet<string>): Promise<void> {
    const { client, settlement, logger } = this.options;
    try {
      const ids = await listEndedIds(client.session(), from);
      for (const flowRunId of ids) if (!seen.has(flowRunId)) settlement.hint({ flowRunId });
    } catch (error) {
      logger.warn('runs that cannot be shown are not found', { error: wordOf(error) });
    }
  }

  private current(): Position | undefined {
    if (this.position === undefined) return undefined;
    const { settlement, channel } = this.options;
    return {
      position: this.position,
      open_since: settlement.openSince() ?? null,
      ...(channel.begunAt === undefined ? {} : { since: channel.begunAt }),
    };
  }
}

function isoBefore(epochMs: number, seconds: number): string {
  return new Date(epochMs - seconds * 1000).toISOString();
}
