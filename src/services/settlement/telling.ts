import type { HostWebhook, Outcome } from '../../host/webhook.js';
import type { Logger } from '../../logger.js';
import type { EndedRun } from '../../prefect/ended-runs.js';
import type { Task } from './agenda.js';
import type { Channel } from './channel.js';
import type { Step, Work } from './desk.js';
import { Latest } from './latest.js';
import type { ParentCheck } from './parent-check.js';
import { webhookMessage } from './webhook-message.js';
import {
  deliveryLabel,
  isDelivered,
  notWantedLabel,
  settledLabel,
  type DeliveryRecord,
  type Progress,
} from './progress.js';
import { nextDelay } from './schedule.js';

export interface TellingCounts {
  /** Ends that the host knows of. */
  settled: number;
  delivered: number;
  failedAttempts: number;
  dead: number;
}

export interface TellingOptions {
  host: HostWebhook;
  channel: Channel;
  parents: ParentCheck;
  logger: Logger;
  /** Seconds by which a retry comes later than planned: whoever does not lead comes after the leader, and finds it done. */
  behindSeconds: () => number;
  /** The host answers again: what waits need not wait. */
  onHostBack: () => void;
  /** The host has heard for the first time. @param seconds since the run entered its state */
  onDelivered?: ((seconds: number) => void) | undefined;
}

/** Failures in a row after which the host counts as down. */
const HOST_DOWN_AFTER = 3;
/** Of the time that the host has been down, between two probes. */
const PROBE_SHARE = 0.25;

/** Tells the host of a run's end until it has heard, or says that it never will, or time is up. */
export class Telling implements Work {
  readonly name = 'tell the host of a run';
  readonly counts: TellingCounts = { settled: 0, delivered: 0, failedAttempts: 0, dead: 0 };
  /** As if it had been down: what an earlier process left waiting goes with the first success. */
  private failures = HOST_DOWN_AFTER;
  /** Since when it has not answered at all, or with a 5xx. */
  private downSince: number | undefined;
  private silences = 0;
  private lastProbe = -Infinity;
  /** States that the host was told, and attempts that failed, by run: labels say so later. */
  private readonly told = new Latest<string>();
  private readonly attempts = new Latest<DeliveryRecord>();

  constructor(private readonly options: TellingOptions) {}

  /**
   * Whether to try a host that does not answer once out of turn: not where it asked us to wait or does not know our key,
   * and the less often the longer it has been down.
   */
  isTimeToProbe(now = performance.now()): boolean {
    if (this.downSince === undefined || this.silences < HOST_DOWN_AFTER) return false;
    if (now - this.lastProbe < PROBE_SHARE * (now - this.downSince)) return false;
    this.lastProbe = now;
    return true;
  }

  readonly isDone = isDelivered;
  readonly isOtherDone = ({ isCleaned }: Progress): boolean => isCleaned;

  readonly step = async (run: EndedRun, progress: Progress, task: Task): Promise<Step> => {
    const { host, channel, behindSeconds, onHostBack } = this.options;
    if (task.replay) this.forget(run.id);
    // Its label was not written, or was lost to one that was written at the same time.
    if (this.told.get(run.id) === run.state.id) return { labels: settledLabel(run, channel) };
    const isReplay = task.replay === true;
    const delivery = isReplay ? undefined : this.latest(run, progress);
    task.replay = false;
    if (delivery?.dead) return { labels: deliveryLabel(delivery, channel) };
    const wait = delivery?.next ? (Date.parse(delivery.next) - Date.now()) / 1000 : 0;
    if (wait > 0 && !task.hurry) return { again: wait + behindSeconds() };
    if (!delivery && (await this.options.parents.isSubflow(run))) return { labels: notWantedLabel() };
    const outcome = await host.deliver(webhookMessage(run));
    if (!outcome) return { again: wait };
    if (outcome.ok) {
      this.told.set(run.id, run.state.id);
      this.attempts.delete(run.id);
      this.counts.delivered += 1;
      if (!isReplay) this.options.onDelivered?.((Date.now() - Date.parse(run.state.timestamp)) / 1000);
      if (this.failures >= HOST_DOWN_AFTER) onHostBack();
      this.failures = 0;
      this.silences = 0;
      this.downSince = undefined;
      this.counts.settled += 1;
      return { labels: settledLabel(run, channel) };
    }
    const isSilent = !outcome.refused && !outcome.gone && outcome.retryAfterSeconds === undefined;
    this.silences = isSilent ? this.silences + 1 : 0;
    this.downSince = isSilent ? (this.downSince ?? performance.now()) : undefined;
    // Out of turn: its schedule goes on as if nothing had been tried.
    if (wait > 0) return { again: wait };
    this.failures += 1;
    return this.failed(run, outcome, (delivery?.attempts ?? 0) + 1);
  };

  private forget(id: string): void {
    this.told.delete(id);
    this.attempts.delete(id);
  }

  /** The record of what was tried: the label may not be written yet. */
  private latest(run: EndedRun, { delivery }: Progress): DeliveryRecord | undefined {
    const ours = this.attempts.get(run.id);
    const isNewer = ours?.state === run.state.id && ours.attempts > (delivery?.attempts ?? 0);
    return isNewer ? ours : delivery;
  }

  private failed(run: EndedRun, outcome: Outcome & { ok: false }, attempts: number): Step {
    const { logger } = this.options;
    const delay = outcome.gone ? undefined : nextDelay(attempts, outcome);
    const next = delay === undefined ? null : new Date(Date.now() + delay * 1000).toISOString();
    const dead = next === null;
    const record: DeliveryRecord = { state: run.state.id, attempts, next, last: outcome.last, dead };
    this.attempts.set(run.id, record);
    this.counts.failedAttempts += 1;
    const fields = { flow_run: run.id, state: run.state.id, attempts, answer: outcome.last };
    if (outcome.refused) logger.error('the host refuses notifications: is HOST_WEBHOOK_KEY right?', fields);
    else logger.warn('the host was not told', fields);
    if (dead) {
      this.counts.dead += 1;
      logger.error('delivery given up', fields);
    }
    return { labels: deliveryLabel(record, this.options.channel), again: delay };
  }
}
