import type { PrefectClient, PrefectSession } from '../../prefect/client.js';
import * as logs from '../../prefect/logs.js';
import * as runStates from '../../prefect/run-states.js';
import type { RunState } from '../../prefect/run-states.js';
import { findFamily } from '../family.js';
import type { ListLimits } from '../rows.js';
import { byArrival, earlier, isLater } from './cursor.js';
import { LogRing } from './log-ring.js';
import { isGone, type RunWatch, type Watched } from './run-watch.js';

export interface FeedDeps {
  client: PrefectClient;
  limits: ListLimits;
  watch: RunWatch;
}

/** In milliseconds. How often logs are asked for: of a run that does something, and of one that waits. */
const BUSY_MS = 1_000;
const IDLE_MS = 5_000;
const BUSY = ['RUNNING', 'PENDING', 'CANCELLING'];
/** Subflows that have begun in the meantime. */
const FAMILY_MS = 5_000;
/** Logs come in batches, from several processes: those of one may be older than what came in before. */
export const OVERLAP_MS = 10_000;
const OVERLAP_LOGS = 150;
/** Logs come in for some seconds after the end, of a run that ended within the last ones. */
const SETTLE_MS = 3_000;
const QUIET_MS = 2_000;
const LAST_MS = 15_000;
const MAX_PAGES = 10;

/** The states and the newest logs of a run and of its subflows, read once for all who follow it. */
export class RunFeed {
  states: RunState[] = [];
  readonly logs = new LogRing();
  /** The run has ended, and so have its logs. */
  isSettled = false;
  /** Counts what was new. */
  version = 0;
  private readonly run: Watched;
  private readonly release: () => void;
  private readonly listeners = new Set<() => void>();
  private members: string[];
  private newest: string | undefined;
  private familyAt = 0;
  private endedAt: number | undefined;
  private lastLogAt = 0;
  private failures = 0;
  private isStopped = false;
  private wake: () => void = () => undefined;

  constructor(
    private readonly deps: FeedDeps,
    api: PrefectSession,
    readonly id: string,
  ) {
    this.members = [id];
    const { run, release } = deps.watch.watch(api, id, () => {
      this.wake();
      this.tell();
    });
    this.run = run;
    this.release = release;
  }

  /** The run was deleted. */
  get isGone(): boolean {
    return this.run.failure !== undefined && isGone(this.run.failure);
  }

  /** This service ends. */
  get isClosed(): boolean {
    return this.deps.watch.isClosed;
  }

  /** The states are those of now, and the last one is the end of the run. */
  get isEnded(): boolean {
    const { known } = this.run;
    return known?.isEnded === true && this.states.at(-1)?.id === known.stateId;
  }

  /**
   * Reads what there is, and from then on what comes, until `stop`.
   * @throws UpstreamError where there is no such run, or where it cannot be read
   */
  async open(api: PrefectSession): Promise<void> {
    while (!this.run.known && !this.run.failure) await this.pause(BUSY_MS);
    if (this.run.failure) throw this.run.failure;
    await Promise.all([this.readStates(api), this.readFamily(api)]);
    const page = { flowRunIds: this.members, limit: OVERLAP_LOGS, newestFirst: true };
    this.take(await logs.ofRuns(api, this.deps.limits.size, page));
    const last = this.states.at(-1);
    if (this.isEnded && last) {
      this.endedAt = performance.now();
      this.isSettled = Date.now() - Date.parse(last.timestamp) > LAST_MS;
    }
    if (!this.isSettled) void this.keepReading();
  }

  stop(): void {
    this.isStopped = true;
    this.release();
    this.wake();
  }

  /** One page of the logs, by their timestamps. @param after ISO time @throws UpstreamError */
  page(after: string | undefined, offset: number, limit: number): Promise<logs.Log[]> {
    const { client, limits } = this.deps;
    const api = client.session({ priority: 'low' });
    return logs.ofRuns(api, limits.size, { flowRunIds: this.members, after, offset, limit });
  }

  get pageSize(): number {
    return this.deps.limits.size.pageSize;
  }

  /**
   * Waits for what is new.
   * @param version what `version` was when this feed was looked at: what came since then is new as well
   * @returns whether something came before the time was over
   */
  async news(version: number, milliseconds: number, gone: AbortSignal): Promise<boolean> {
    if (this.version === version && !gone.aborted && !this.isClosed) {
      await new Promise<void>((resolve) => {
        const finish = () => {
          clearTimeout(timer);
          gone.removeEventListener('abort', finish);
          this.listeners.delete(finish);
          resolve();
        };
        const timer = setTimeout(finish, milliseconds);
        gone.addEventListener('abort', finish, { once: true });
        this.listeners.add(finish);
      });
    }
    return this.version !== version;
  }

  private async keepReading(): Promise<void> {
    for (;;) {
      await this.pause(this.delay());
      if (this.isStopped || this.isSettled || this.isGone || this.isClosed) break;
      try {
        await this.readOn(this.deps.client.session({ priority: 'low', isShared: true }));
        this.failures = 0;
      } catch {
        // What cannot be read now is read later; the watch says so where the run is gone.
        this.failures += 1;
      }
      this.tell();
    }
  }

  private delay(): number {
    const isBusy = this.endedAt !== undefined || BUSY.includes(this.states.at(-1)?.type ?? '');
    return Math.min(IDLE_MS, (isBusy ? BUSY_MS : IDLE_MS) * 2 ** Math.min(this.failures, 3));
  }

  private async readOn(api: PrefectSession): Promise<void> {
    await this.readStates(api);
    const now = performance.now();
    const hasJustEnded = this.isEnded && this.endedAt === undefined;
    if (hasJustEnded || now - this.familyAt >= FAMILY_MS) await this.readFamily(api);
    const count = await this.readLogs(api, this.members, this.overlap());
    this.judge(count, now);
  }

  private async readStates(api: PrefectSession): Promise<void> {
    if (this.run.known?.stateId !== this.states.at(-1)?.id) this.states = await runStates.list(api, this.id);
  }

  private async readFamily(api: PrefectSession): Promise<void> {
    const family = await findFamily(api, this.deps.limits, this.members.slice(0, 1));
    const fresh = [...family.topOf.keys()].filter((id) => !this.members.includes(id));
    const isFirst = this.familyAt === 0;
    this.familyAt = performance.now();
    // Those that are older than this feed are read by who follows it.
    if (!isFirst && fresh.length > 0) await this.readLogs(api, fresh, undefined);
    this.members = [...this.members, ...fresh];
  }

  /** @returns how many logs are new */
  private async readLogs(
    api: PrefectSession,
    flowRunIds: string[],
    after: string | undefined,
  ): Promise<number> {
    const { size } = this.deps.limits;
    const limit = size.pageSize;
    let count = 0;
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const rows = await logs.ofRuns(api, size, { flowRunIds, after, offset: page * limit, limit });
      count += this.take(rows);
      if (rows.length < limit) break;
    }
    return count;
  }

  private take(rows: logs.Log[]): number {
    for (const { timestamp } of rows) {
      if (this.newest === undefined || isLater(timestamp, this.newest)) this.newest = timestamp;
    }
    return this.logs.add(rows.toSorted(byArrival));
  }

  /** From where on logs are read again: not more of them than fit into a page beside new ones. */
  private overlap(): string | undefined {
    if (this.newest === undefined) return undefined;
    const start = earlier(this.newest, OVERLAP_MS);
    const most = Math.min(OVERLAP_LOGS, Math.floor(this.pageSize * 0.75));
    const recent = this.logs.newest(most);
    if (this.logs.next < most) return start;
    const times = recent.map(({ timestamp }) => timestamp);
    const earliest = times.reduce((one, other) => (isLater(one, other) ? other : one), this.newest);
    return isLater(earliest, start) ? earliest : start;
  }

  private judge(newLogs: number, now: number): void {
    if (!this.isEnded) {
      this.endedAt = undefined;
      return;
    }
    this.endedAt ??= now;
    if (newLogs > 0) this.lastLogAt = now;
    const isQuiet = now - this.endedAt >= SETTLE_MS && now - this.lastLogAt >= QUIET_MS;
    this.isSettled = isQuiet || now - this.endedAt >= LAST_MS;
  }

  private tell(): void {
    this.version += 1;
    for (const listener of [...this.listeners]) listener();
  }

  /** Until the time is over or the run has changed. */
  private pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
