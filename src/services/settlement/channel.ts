import type { EndedRun } from '../../prefect/ended-runs.js';

/** The name of the only channel of installations with one host. */
export const DEFAULT_CHANNEL = 'default';

/** Runs may be seen later than they ended, and our clock and Prefect's need not agree. */
const MARGIN_MS = 60_000;

/**
 * What is delivered to one host, known by its name (`HOST_WEBHOOK_NAME`). Each channel has run labels and a Variable of
 * its own, so that each host hears everything. Instances of the same name share them.
 */
export class Channel {
  /** The run labels in which its deliveries are noted. */
  readonly labels: {
    /** The state that the host knows of. */
    settled: string;
    /** Attempts that failed, as JSON: one label, because two writers may not mix. */
    delivery: string;
  };
  /** The Variable with the position and the leader. */
  readonly variable: string;
  /** The Variable with the deliveries of runs that hold no labels. */
  readonly withoutRunVariable: string;
  /** ISO time of the first start of a channel that began without a look-back. */
  private since: string | undefined;

  constructor(readonly name: string) {
    const own = this.isDefault ? '' : `${name}.`;
    this.labels = { settled: `prefect-proxy.${own}settled`, delivery: `prefect-proxy.${own}delivery` };
    const suffix = this.isDefault ? '' : `_${name}`;
    this.variable = `prefect_proxy_reconciler${suffix}`;
    this.withoutRunVariable = `prefect_proxy_without_run${suffix}`;
  }

  /** The default channel starts with a look-back; every other one with what ends from its first start on. */
  get isDefault(): boolean {
    return this.name === DEFAULT_CHANNEL;
  }

  /** ISO time from which on ends are delivered; undefined if there is no such time. */
  get begunAt(): string | undefined {
    return this.since;
  }

  /** Sets the time from which on ends are delivered. @param time ISO */
  beginAt(time: string): void {
    this.since = time;
  }

  /** Whether the end of a run is not older than the channel. */
  concerns({ state }: EndedRun): boolean {
    return this.since === undefined || Date.parse(state.timestamp) >= Date.parse(this.since) - MARGIN_MS;
  }

  /** Whether this channel has ever noted something about a run. */
  hasNoted({ labels }: EndedRun): boolean {
    return labels?.[this.labels.settled] !== undefined || labels?.[this.labels.delivery] !== undefined;
  }
}
