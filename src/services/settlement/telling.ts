import type { HostWebhook, Outcome } from '../../host/webhook.js';
import type { Logger } from '../../logger.js';
import type { EndedRun } from '../../prefect/ended-runs.js';
import { runOf, type StateChange } from '../../prefect/state-change.js';
import { SYNC_RUNS_DEPLOYMENT } from '../sync-runs-deployment.js';
import type { Task } from './agenda.js';
import type { Channel } from './channel.js';
import type { DeliveriesWithoutRun } from './deliveries-without-run.js';
import type { MissingStep, Step, Work } from './desk.js';
import { Latest } from './latest.js';
import type { ParentCheck } from './parent-check.js';
import type { MissingRuns } from './missing-runs.js';
import { webhookMessage, type Source } from './webhook-message.js';
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
  /** Ends of runs that could not be read, delivered from what was reported of them. */
  fromReports: number;
  /** Ends of runs that are gone, and of which nothing is known. */
  unknown: number;
}

export interface TellingOptions {
  host: HostWebhook;
  channel: Channel;
  parents: ParentCheck;
  missingRuns: MissingRuns;
  withoutRun: DeliveriesWithoutRun;
  /** Whether hosts hear of synchronous runs. */
  syncRuns: boolean;
  logger: Logger;
  /** Seconds by which a retry comes later than planned: whoever does not lead comes after the leader, and finds it done. */
  behindSeconds: () => number;
  /** The host answers again: what waits need not wait. */
  onHostBack: () => void;
  /** The host has heard for the first time. @param seconds since the run entered its state */
  onDelivered?: ((seconds: number) => void) | undefined;
}

interface Attempt {
  /** What was tried before. */
  delivery: DeliveryRecord | undefined;
  /** Seconds until it would be its turn. */
  wait: number;
  isReplay: boolean;
  source: Source;
}

/** How often, and how many seconds apart, the event log is asked for the end of a run that is gone. */
const LOOKUPS = 3;
const LOOKUP_SECONDS = 5;
/** Failures in a row after which the host counts as down. */
const HOST_DOWN_AFTER = 3;
/** Of the time that the host has been down, between two probes. */
const PROBE_SHARE = 0.25;

/** Tells the host of a run's end until it has heard, or says that it never will, or time is up. */
export class Telling implements Work {
  readonly name = 'tell the host of a run';
  readonly counts: TellingCounts = {
    settled: 0,
    delivered: 0,
    failedAttempts: 0,
    dead: 0,
    fromReports: 0,
    unknown: 0,
  };
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
    const { channel, behindSeconds } = this.options;
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
    return this.deliver(run, { delivery, wait, isReplay, source: 'run' });
  };

  readonly missing = async (id: string, isUnreadable: boolean, task: Task): Promise<MissingStep> => {
    const { channel, missingRuns, withoutRun, logger, behindSeconds } = this.options;
    const end = await missingRuns.endOf(id, isUnreadable, task.end);
    if (!end) return isUnreadable ? {} : this.notFound(id, task);
    const run = runOf(end);
    const stateId = run.state.id;
    if (!this.isWanted(end, run)) return { stateId };
    if (task.replay) this.forget(id);
    if (this.told.get(id) === stateId) return { stateId, labels: settledLabel(run, channel) };
    // A kill must not lose what no label can hold.
    if (task.notedState !== stateId) withoutRun.note(id, stateId, 'pending');
    task.notedState = stateId;
    const delivery = this.attempts.get(id);
    const known = delivery?.state === stateId && !delivery.dead ? delivery : undefined;
    const wait = known?.next ? (Date.parse(known.next) - Date.now()) / 1000 : 0;
    if (wait > 0 && !task.hurry) return { again: wait + behindSeconds() };
    const isReplay = task.replay === true;
    task.replay = false;
    const step = await this.deliver(run, { delivery: known, wait, isReplay, source: 'state_change' });
    if (step.again !== undefined) return step;
    const isTold = this.told.get(id) === stateId;
    if (isTold) {
      this.counts.fromReports += 1;
      logger.warn('the host was notified of a run that cannot be read', { flow_run: id, state: stateId });
    }
    withoutRun.note(id, stateId, isTold ? 'delivered' : 'dead');
    return { ...step, stateId };
  };

  /** Events are logged some seconds after they happened. */
  private notFound(id: string, task: Task): MissingStep {
    task.lookups = (task.lookups ?? 0) + 1;
    if (task.lookups < LOOKUPS) return { again: LOOKUP_SECONDS };
    this.counts.unknown += 1;
    this.options.withoutRun.note(id, task.stateId ?? null, 'unknown');
    this.options.logger.error(
      'the end of a flow run cannot be delivered: it is gone, and nothing is known of it',
      {
        flow_run: id,
        state: task.stateId,
      },
    );
    return {};
  }

  /** Labels cannot be asked. */
  private isWanted({ isSubflow, deploymentName }: StateChange, run: EndedRun): boolean {
    const { channel, syncRuns } = this.options;
    return channel.concerns(run) && !isSubflow && (syncRuns || deploymentName !== SYNC_RUNS_DEPLOYMENT);
  }

  private async deliver(run: EndedRun, { delivery, wait, isReplay, source }: Attempt): Promise<Step> {
    const { host, channel, onHostBack } = this.options;
    const outcome = await host.deliver(webhookMessage(run, source));
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
  }

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
