import type { Logger } from '../../logger.js';
import type { PrefectClient } from '../../prefect/client.js';
import { UpstreamError } from '../../prefect/errors.js';
import { isFinished } from './progress.js';
import type { Position, SharedPosition } from './position.js';
import type { Settlement } from './settlement.js';
import { sweep } from './sweep.js';

export interface ReconcilerOptions {
  client: PrefectClient;
  settlement: Settlement;
  shared: SharedPosition;
  logger: Logger;
  intervalSeconds: number;
  /** How far the first sweep ever looks back. */
  lookbackSeconds: number;
  /** Is told when this instance begins or ceases to lead. */
  onLeading: (leads: boolean) => void;
}

/** Runs may be seen later than they ended by the orchestrator's clock (a slow transaction, another server's clock). */
const OVERLAP_SECONDS = 60;
/** Whoever does not lead leaves the leader this time to be first. */
const FOLLOWER_DELAY_MS = 2_000;

/** Looks again and again for runs that have ended and are not settled: what every other source may have missed. */
export class Reconciler {
  private leads = false;
  private isFirst = true;
  private position: string | undefined;
  private timer: NodeJS.Timeout | undefined;
  private tick: Promise<void> = Promise.resolve();
  private isClosed = false;
  private isFailing = false;

  constructor(private readonly options: ReconcilerOptions) {
    options.settlement.hintDelayMs = FOLLOWER_DELAY_MS;
  }

  /** Sweeps now and then once an interval. */
  start(): void {
    this.tick = this.sweepOnce().finally(() => {
      if (this.isClosed) return;
      this.timer = setTimeout(() => {
        this.start();
      }, this.options.intervalSeconds * 1000);
    });
  }

  /** Waits for the sweep under way; another instance may lead from here. */
  async close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.timer);
    await this.tick;
    const position = this.current();
    if (this.leads && position) {
      await this.options.shared.handOver(this.options.client.session(), position).catch(() => undefined);
    }
  }

  private async sweepOnce(): Promise<void> {
    const { client, shared, logger } = this.options;
    try {
      const { position, leads } = await shared.read(client.session());
      this.setLeading(leads);
      // The first one is everybody's: what ended while all of ours was down does not wait for a leader.
      if (leads || this.isFirst) await this.sweepFrom(this.startOf(position));
      this.isFirst = false;
      const reached = this.current();
      if (leads && reached) await shared.write(client.session(), reached);
      if (this.isFailing) logger.info('reconciler works again');
      this.isFailing = false;
    } catch (error) {
      if (!this.isFailing) logger.warn('reconciler failed', { error: wordOf(error) });
      this.isFailing = true;
    }
  }

  private setLeading(leads: boolean): void {
    if (leads === this.leads) return;
    this.leads = leads;
    // What the leader before had open is only known from the Variable.
    if (leads) this.isFirst = true;
    this.options.settlement.hintDelayMs = leads ? 0 : FOLLOWER_DELAY_MS;
    this.options.onLeading(leads);
  }

  private startOf(stored: Position | undefined): string {
    const lookback = isoBefore(Date.now(), this.options.lookbackSeconds);
    if (!this.isFirst) return this.position ?? lookback;
    const known = [stored?.position, stored?.open_since].filter((time) => typeof time === 'string');
    return known.sort()[0] ?? lookback;
  }

  private async sweepFrom(from: string): Promise<void> {
    const { client, settlement, logger } = this.options;
    let latest = from;
    const pages = sweep(() => client.session(), {
      size: client,
      from: isoBefore(Date.parse(from), OVERLAP_SECONDS),
      onUnreadable: (before) => {
        logger.error('the orchestrator cannot show a flow run', { ended_before: before });
      },
    });
    for await (const runs of pages) {
      for (const run of runs) {
        if (run.end_time > latest) latest = run.end_time;
        if (!isFinished(run)) settlement.found(run);
      }
      if (this.isClosed) return;
    }
    this.position = latest;
  }

  private current(): Position | undefined {
    if (this.position === undefined) return undefined;
    return { position: this.position, open_since: this.options.settlement.openSince() ?? null };
  }
}

function isoBefore(epochMs: number, seconds: number): string {
  return new Date(epochMs - seconds * 1000).toISOString();
}

function wordOf(error: unknown): string {
  if (error instanceof UpstreamError) return error.message;
  return error instanceof Error ? error.name : 'error';
}
