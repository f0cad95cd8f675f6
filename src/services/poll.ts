import type { PrefectSession } from '../prefect/client.js';
import { UpstreamError } from '../prefect/errors.js';
import * as flowRuns from '../prefect/flow-runs.js';

/** Runs that one upstream call reads at most: each may carry 512 KiB of parameters. */
const BATCH = 50;

export interface RunPollerOptions {
  /** Milliseconds for which a poll waits for others to go with; 0: what the sockets brought in one turn goes together. */
  gatherMs?: number;
  /** Upstream calls under way beyond which polls wait for each other, and for how long at most (a call may hang). */
  flights?: number;
  patienceMs?: number;
}

/**
 * A Map would leave its outgrown tables behind, each holding on to the next, and keep the texts of thousands of
 * replies alive until a full collection. Short lists, found by the last digits of the id, leave nothing.
 */
const LISTS = 256;

/**
 * Polls of the same run at the same time share one upstream call, and polls of different runs that come together are
 * one call as well: 50 runs by filter cost the orchestrator a tenth of 50 single reads. A write through the facade ends
 * the sharing: a poll that comes after it is read by a call that starts later.
 */
export class RunPoller {
  /** Polls, and the upstream calls that they came to. */
  readonly counts = { polls: 0, calls: 0 };
  private readonly underWay: Poll[][] = Array.from({ length: LISTS }, () => []);
  private waiting: Poll[] = [];
  private flights = 0;
  private turnEnds = false;
  private patience: NodeJS.Timeout | undefined;
  private readonly gatherMs: number;
  private readonly flightsAtOnce: number;
  private readonly patienceMs: number;

  constructor({ gatherMs = 0, flights = 2, patienceMs = 250 }: RunPollerOptions = {}) {
    this.gatherMs = gatherMs;
    this.flightsAtOnce = flights;
    this.patienceMs = patienceMs;
  }

  /**
   * The run's own text. A call that is shared spends the deadline of one of the requests it answers.
   * @param id a UUID in its usual form
   */
  poll(api: PrefectSession, id: string): Promise<string> {
    this.counts.polls += 1;
    const list = this.listOf(id);
    const shared = list.find((poll) => poll.id === id);
    if (shared) return shared.text;
    const poll = new Poll(api, id);
    list.push(poll);
    this.waiting.push(poll);
    if (!this.turnEnds) {
      this.turnEnds = true;
      const send = () => {
        this.turnEnds = false;
        this.sendWaiting(this.flightsAtOnce);
      };
      if (this.gatherMs === 0) setImmediate(send);
      else setTimeout(send, this.gatherMs);
    }
    return poll.text;
  }

  /** As `poll`, by a call that starts after this moment: one that waits to be sent is shared. */
  pollAfresh(api: PrefectSession, id: string): Promise<string> {
    if (!this.waiting.some((poll) => poll.id === id)) this.forget(id);
    return this.poll(api, id);
  }

  /** Runs a write to a run; polls that began before it ended are not shared with those that come after. */
  async writing<T>(id: string, write: () => Promise<T>): Promise<T> {
    this.forget(id);
    try {
      return await write();
    } finally {
      this.forget(id);
    }
  }

  private sendWaiting(atMost: number): void {
    while (this.waiting.length > 0 && this.flights < atMost) void this.send(this.waiting.splice(0, BATCH));
    if (this.waiting.length === 0) {
      clearTimeout(this.patience);
      this.patience = undefined;
    } else {
      this.patience ??= setTimeout(() => {
        this.patience = undefined;
        this.sendWaiting(Infinity);
      }, this.patienceMs);
    }
  }

  private async send(polls: Poll[]): Promise<void> {
    this.flights += 1;
    await this.read(polls);
    this.flights -= 1;
    for (const poll of polls) remove(this.listOf(poll.id), poll);
    this.sendWaiting(this.flightsAtOnce);
  }

  /** Settles each of the polls; never fails itself. */
  private async read(polls: Poll[]): Promise<void> {
    const newest = polls.at(-1);
    const ids = new Set(polls.map((poll) => poll.id));
    if (!newest || ids.size === 1) return this.readEach(polls);
    try {
      this.counts.calls += 1;
      const texts = await flowRuns.readTexts(newest.api, [...ids]);
      const missing = polls.filter((poll) => {
        const text = texts.get(poll.id);
        if (text !== undefined) poll.resolve(text);
        return text === undefined;
      });
      // Alone, a run that is not there gets the orchestrator's own answer.
      await this.readEach(missing);
    } catch (error) {
      if (isAboutTheList(error)) await this.readEach(polls);
      else for (const poll of polls) poll.reject(error);
    }
  }

  /** Reads runs one by one, each once. */
  private async readEach(polls: Poll[]): Promise<void> {
    const texts = new Map<string, Promise<string>>();
    const textOf = ({ api, id }: Poll) => {
      const text = texts.get(id) ?? this.readOne(api, id);
      texts.set(id, text);
      return text;
    };
    await Promise.all(polls.map((poll) => textOf(poll).then(poll.resolve, poll.reject)));
  }

  private readOne(api: PrefectSession, id: string): Promise<string> {
    this.counts.calls += 1;
    return flowRuns.readText(api, id);
  }

  private forget(id: string): void {
    const list = this.listOf(id);
    const poll = list.find((one) => one.id === id);
    if (poll) remove(list, poll);
  }

  private listOf(id: string): Poll[] {
    return this.underWay[parseInt(id.slice(-2), 16) % LISTS] ?? [];
  }
}

class Poll {
  readonly text: Promise<string>;
  resolve!: (text: string) => void;
  reject!: (error: unknown) => void;

  constructor(
    readonly api: PrefectSession,
    readonly id: string,
  ) {
    this.text = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }
}

/** One run that Prefect cannot show (500), or a page limit that an operator lowered (422), fails a list, not a run. */
function isAboutTheList(error: unknown): boolean {
  return error instanceof UpstreamError && (error.answered(500) || error.answered(422));
}

function remove(list: Poll[], poll: Poll): void {
  const index = list.indexOf(poll);
  if (index !== -1) list.splice(index, 1);
}
