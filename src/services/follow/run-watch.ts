import { setTimeout as sleep } from 'node:timers/promises';
import type { PrefectClient, PrefectSession } from '../../prefect/client.js';
import { isEnded, parseRun } from '../../prefect/ended-runs.js';
import { UpstreamError } from '../../prefect/errors.js';
import type { RunPoller } from '../poll.js';

/** What is known of a run. */
export interface Known {
  /** The run as the orchestrator wrote it. */
  text: string;
  stateId: string | undefined;
  isEnded: boolean;
}

/** A run that somebody watches; `onNews` is called after each change of it. */
export interface Watched {
  readonly id: string;
  /** Of the last read that succeeded. */
  known?: Known;
  /** Why the last read failed; gone with the next one that succeeds. */
  failure?: Error;
}

/** Tells of runs that change their state, until it is closed. */
export interface Hearing {
  open(): void;
  close(): void;
}

export interface RunWatchOptions {
  client: PrefectClient;
  poller: RunPoller;
  /** Makes what tells of changes; it is opened only while somebody watches a run that has not ended. */
  hear: (listener: {
    onChange: (isOpen: boolean) => void;
    onState: (state: { flowRunId: string; stateId: string }) => void;
  }) => Hearing;
}

/** In milliseconds. Reads of all watched runs, in case an event is lost; often while none can come. */
const SWEEP_MS = 5_000;
const DEAF_SWEEP_MS = 1_000;
/** The orchestrator does not say when its side of a new subscription stands: what happens until then is read. */
const SUBSCRIBED_MS = 200;
/** The orchestrator tells of a change a moment before others can see it. */
const UNSEEN_MS = [0, 20, 50, 100, 200, 400];
/** The next one who waits is often there soon. */
const LINGER_MS = 10_000;

interface Entry extends Watched {
  listeners: Set<() => void>;
  /** Numbers reads in the order they began: the answer of an older one does not undo a newer one's. */
  begun: number;
  applied: number;
  /** The state that was last told of. */
  heard?: string;
}

/**
 * The runs that this process waits for. However many wait for a run, it is read once when the first one comes, once when
 * it is said to have changed, and every few seconds together with all the others.
 */
export class RunWatch {
  private readonly entries = new Map<string, Entry>();
  private readonly hearing: Hearing;
  private isHearing = false;
  private isOpen = false;
  /** Something changed and nobody told: events may be switched off over there. */
  private isDeaf = false;
  private failures = 0;
  private sweepTimer: NodeJS.Timeout | undefined;
  private lingerTimer: NodeJS.Timeout | undefined;
  private isSweeping = false;
  /** Nothing new comes any more: the service ends. */
  isClosed = false;

  constructor(private readonly options: RunWatchOptions) {
    this.hearing = options.hear({
      onState: (state) => {
        this.heard(state);
      },
      onChange: (isOpen) => {
        this.isOpen = isOpen;
        this.sweepIn(isOpen ? SUBSCRIBED_MS : this.pause());
      },
    });
  }

  /** Runs that are watched, and those who wait for them. */
  get numbers(): { runs: number; waiters: number } {
    let waiters = 0;
    for (const { listeners } of this.entries.values()) waiters += listeners.size;
    return { runs: this.entries.size, waiters };
  }

  /**
   * Watches a run. Reads it at once where nobody watches it yet.
   * @param api the session that this read counts for
   * @param onNews is called when the run changed or could not be read, and when this closes; never within this call
   * @returns what is known of it, and what ends the watching
   */
  watch(api: PrefectSession, id: string, onNews: () => void): { run: Watched; release: () => void } {
    const known = this.entries.get(id);
    const entry = known ?? { id, listeners: new Set(), begun: 0, applied: 0 };
    entry.listeners.add(onNews);
    if (!known) {
      this.entries.set(id, entry);
      clearTimeout(this.lingerTimer);
      void this.read(entry, api);
    }
    return {
      run: entry,
      release: () => {
        entry.listeners.delete(onNews);
        if (entry.listeners.size > 0 || this.entries.get(id) !== entry) return;
        this.entries.delete(id);
        if (this.entries.size === 0) this.rest();
      },
    };
  }

  /** What is known of a run at this moment, without watching it. @throws UpstreamError */
  async look(api: PrefectSession, id: string): Promise<Known> {
    return knownOf(await this.options.poller.poll(api, id));
  }

  /** Hears of changes and reads no more, and tells all who watch: see `isClosed`. */
  close(): void {
    this.isClosed = true;
    clearTimeout(this.sweepTimer);
    clearTimeout(this.lingerTimer);
    this.hearing.close();
    for (const entry of this.entries.values()) tell(entry);
  }

  private heard({ flowRunId, stateId }: { flowRunId: string; stateId: string }): void {
    const entry = this.entries.get(flowRunId);
    if (!entry) return;
    this.isDeaf = false;
    entry.heard = stateId;
    void this.readUntil(entry, stateId);
  }

  /** Reads a run until it is in a state that was told of. */
  private async readUntil(entry: Entry, stateId: string): Promise<void> {
    for (const delay of UNSEEN_MS) {
      if (delay > 0) await sleep(delay);
      const isPast = this.isClosed || entry.listeners.size === 0 || entry.heard !== stateId;
      if (isPast || entry.known?.stateId === stateId) return;
      await this.read(entry, this.options.client.session({ isShared: true }));
    }
  }

  /** Reads a run, by a call that starts now, and tells its listeners what is new. Never fails. */
  private async read(entry: Entry, api: PrefectSession): Promise<void> {
    const turn = ++entry.begun;
    try {
      const known = knownOf(await this.options.poller.pollAfresh(api, entry.id));
      if (turn < entry.applied) return;
      entry.applied = turn;
      this.failures = 0;
      this.learn(entry, known);
    } catch (error) {
      if (turn < entry.applied) return;
      entry.applied = turn;
      this.failures += 1;
      entry.failure = error instanceof Error ? error : new Error('unreadable');
      tell(entry);
      this.sweepIn(this.pause());
    }
  }

  private learn(entry: Entry, known: Known): void {
    const before = entry.known;
    const hadFailed = entry.failure !== undefined;
    entry.known = known;
    delete entry.failure;
    const isNew = before?.stateId !== known.stateId;
    if (before && isNew && entry.heard !== known.stateId) this.isDeaf = true;
    if (!known.isEnded) this.hearAndSweep();
    if (isNew || hadFailed) tell(entry);
  }

  private hearAndSweep(): void {
    if (this.isClosed || this.entries.size === 0) return;
    if (!this.isHearing) {
      this.isHearing = true;
      this.hearing.open();
    }
    if (this.sweepTimer === undefined && !this.isSweeping) this.sweepIn(this.pause());
  }

  private pause(): number {
    const usual = this.isOpen && !this.isDeaf ? SWEEP_MS : DEAF_SWEEP_MS;
    return this.failures > 0 ? Math.min(SWEEP_MS, DEAF_SWEEP_MS * 2 ** Math.min(this.failures, 3)) : usual;
  }

  private sweepIn(milliseconds: number): void {
    clearTimeout(this.sweepTimer);
    this.sweepTimer = undefined;
    if (this.isClosed || this.entries.size === 0) return;
    this.sweepTimer = setTimeout(() => {
      this.sweepTimer = undefined;
      void this.sweep();
    }, milliseconds);
  }

  /** Reads all watched runs; the poller makes few calls of them. */
  private async sweep(): Promise<void> {
    if (this.isSweeping) return;
    this.isSweeping = true;
    const api = this.options.client.session({ isShared: true });
    await Promise.all([...this.entries.values()].map((entry) => this.read(entry, api)));
    this.isSweeping = false;
    this.sweepIn(this.pause());
  }

  private rest(): void {
    clearTimeout(this.sweepTimer);
    this.sweepTimer = undefined;
    if (!this.isHearing) return;
    this.lingerTimer = setTimeout(() => {
      this.isHearing = false;
      this.isOpen = false;
      this.hearing.close();
    }, LINGER_MS).unref();
  }
}

/** Whether a failure says that there is no such run. */
export function isGone(failure: Error): boolean {
  return failure instanceof UpstreamError && failure.isNotFound;
}

function knownOf(text: string): Known {
  const run = parseRun(text);
  return { text, stateId: run.state?.id, isEnded: isEnded(run) };
}

function tell(entry: Entry): void {
  for (const listener of [...entry.listeners]) listener();
}
