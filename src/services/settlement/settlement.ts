import pLimit from 'p-limit';
import type { HostWebhook, Outcome } from '../../host/webhook.js';
import type { Logger } from '../../logger.js';
import type { PrefectClient } from '../../prefect/client.js';
import { addLabels, isEnded, parseRun, type EndedRun } from '../../prefect/ended-runs.js';
import { UpstreamError } from '../../prefect/errors.js';
import { holdsAny } from '../../schemas/resources.js';
import type { Hint } from '../hints.js';
import type { RunPoller } from '../poll.js';
import { Agenda, type Task } from './agenda.js';
import { declaredBy, releaseDeclared, releaseSlots } from './cleanup.js';
import { newsOf } from './news.js';
import {
  cleanedLabel,
  deliveryLabel,
  progressOf,
  settledLabel,
  type DeliveryRecord,
  type Progress,
} from './progress.js';
import { nextDelay } from './schedule.js';

export interface SettlementDeps {
  client: PrefectClient;
  poller: RunPoller;
  /** None: runs are settled without telling anyone. */
  host?: HostWebhook | undefined;
  logger: Logger;
  /** Seconds for which a failed or crashed run keeps what it declared, so that it can be retried. */
  graceSeconds: number;
}

export interface SettlementCounts {
  settled: number;
  delivered: number;
  failedAttempts: number;
  dead: number;
}

/** A hint may come before the state can be read: milliseconds after which the run is read again. */
const RECHECKS_MS = [250, 1_000, 4_000];
/** Failures in a row after which the host counts as down; when it answers again, all that waits goes at once. */
const HOST_DOWN_AFTER = 3;
/** Runs that are cleaned up after, or noted, at the same time: SQLite has one writer. */
const WRITES_AT_ONCE = 8;
/** Seconds after which a clean-up that failed is tried again. */
const CLEANUP_RETRY_SECONDS = 30;
/** Runs that are remembered as finished, so that the second and third hint cost nothing. */
const REMEMBERED = 10_000;

/**
 * Settles flow runs that have ended: cleans up after them, tells the host, notes both in the run's labels. Everything
 * may be done twice (a crash in between, a second instance): clean-up names what it frees, and the same news has the
 * same id.
 */
export class Settlement {
  readonly counts: SettlementCounts = { settled: 0, delivered: 0, failedAttempts: 0, dead: 0 };
  /** Milliseconds by which hints wait: whoever does not lead lets the leader be first. */
  hintDelayMs = 0;
  private readonly agenda = new Agenda(
    (id, task) => this.settle(id, task),
    (id, error) => {
      this.deps.logger.warn('settlement failed', { flow_run: id, error: wordOf(error) });
    },
  );
  private readonly writing = pLimit(WRITES_AT_ONCE);
  private readonly finished = new Map<string, string>();
  /** As if it had been down: what an earlier process left waiting goes with the first success. */
  private hostFailures = HOST_DOWN_AFTER;

  constructor(private readonly deps: SettlementDeps) {}

  /** Takes a hint; the run is read when its turn comes. */
  readonly hint = ({ flowRunId, stateId }: Hint): void => {
    if (stateId !== undefined && this.finished.get(flowRunId) === stateId) return;
    this.agenda.add(flowRunId, { stateId, rechecks: RECHECKS_MS.length }, this.hintDelayMs);
  };

  /** Takes a run that a sweep found unfinished: until it is finished, `openSince` counts it. */
  found(run: EndedRun): void {
    this.agenda.add(run.id, { stateId: run.state.id, rechecks: 0, endTime: run.end_time }, this.hintDelayMs);
  }

  /** The earliest end of a run that is not finished, as far as known: a sweep after a restart begins there. */
  openSince(): string | undefined {
    return this.agenda.earliestEnd();
  }

  /** Starts nothing new and waits for what is under way. */
  close(): Promise<void> {
    return this.agenda.close();
  }

  /** @returns seconds after which the run is looked at again; undefined where nothing is left to do */
  private async settle(id: string, task: Task): Promise<number | undefined> {
    const run = await this.read(id);
    if (!run || run.parent_task_run_id !== null) return undefined;
    if (!isEnded(run)) {
      if (task.rechecks === 0) return undefined;
      task.rechecks -= 1;
      return (RECHECKS_MS.at(-1 - task.rechecks) ?? 0) / 1000;
    }
    task.endTime = run.end_time;
    task.stateId = run.state.id;
    const progress = progressOf(run);
    const cleaning = progress.isCleaned ? DONE : await this.writing(() => this.cleanUp(run));
    const telling =
      progress.isSettled || progress.delivery?.dead ? DONE : await this.tell(run, progress, task);
    const labels = { ...cleaning.labels, ...telling.labels };
    if (Object.keys(labels).length > 0) {
      await this.writing(() => addLabels(this.deps.client.session(), id, labels));
    }
    return this.conclude(run, [cleaning.again, telling.again]);
  }

  private async read(id: string) {
    try {
      return parseRun(await this.deps.poller.pollAfresh(this.deps.client.session(), id));
    } catch (error) {
      if (error instanceof UpstreamError && error.isNotFound) return undefined;
      throw error;
    }
  }

  private conclude(run: EndedRun, again: (number | undefined)[]): number | undefined {
    const open = again.filter((seconds) => seconds !== undefined);
    if (open.length > 0) return Math.min(...open);
    if (this.finished.get(run.id) !== run.state.id) this.counts.settled += 1;
    this.finished.delete(run.id);
    this.finished.set(run.id, run.state.id);
    const oldest = this.finished.keys().next().value;
    if (this.finished.size > REMEMBERED && oldest !== undefined) this.finished.delete(oldest);
    return undefined;
  }

  private async cleanUp(run: EndedRun): Promise<Step> {
    const { client, logger } = this.deps;
    const declared = declaredBy(run);
    if (declared === 'unreadable') logger.warn('clean-up label not understood', { flow_run: run.id });
    const held = declared === 'unreadable' ? undefined : declared;
    const wait = held && holdsAny(held) ? this.graceLeft(run) : 0;
    try {
      await Promise.all([
        releaseSlots(client.session(), client, run),
        held && wait <= 0 ? releaseDeclared(client.session(), held) : undefined,
      ]);
    } catch (error) {
      logger.warn('clean-up failed', { flow_run: run.id, error: wordOf(error) });
      return { again: CLEANUP_RETRY_SECONDS };
    }
    return wait > 0 ? { again: wait } : { labels: cleanedLabel(run) };
  }

  /** A run that completed or was cancelled is over; one that failed may be retried, and needs what it holds. */
  private graceLeft(run: EndedRun): number {
    if (run.state.type === 'COMPLETED' || run.state.type === 'CANCELLED') return 0;
    return this.deps.graceSeconds - (Date.now() - Date.parse(run.state.timestamp)) / 1000;
  }

  private async tell(run: EndedRun, { delivery }: Progress, task: Task): Promise<Step> {
    const { host } = this.deps;
    if (!host || task.told === run.state.id) return { labels: settledLabel(run) };
    const wait = delivery?.next ? (Date.parse(delivery.next) - Date.now()) / 1000 : 0;
    // Whoever does not lead comes after the leader, and finds it done.
    if (wait > 0 && !task.hurry) return { again: wait + this.hintDelayMs / 1000 };
    const outcome = await host.deliver(newsOf(run));
    if (!outcome) return { again: wait };
    if (outcome.ok) {
      task.told = run.state.id;
      this.counts.delivered += 1;
      if (this.hostFailures >= HOST_DOWN_AFTER) this.agenda.hurryAll();
      this.hostFailures = 0;
      return { labels: settledLabel(run) };
    }
    // Out of turn: its schedule goes on as if nothing had been tried.
    if (wait > 0) return { again: wait };
    this.hostFailures += 1;
    return this.failed(run, outcome, (delivery?.attempts ?? 0) + 1);
  }

  private failed(run: EndedRun, outcome: Outcome & { ok: false }, attempts: number): Step {
    const { logger } = this.deps;
    const delay = outcome.gone ? undefined : nextDelay(attempts, outcome);
    const next = delay === undefined ? null : new Date(Date.now() + delay * 1000).toISOString();
    const record: DeliveryRecord = {
      state: run.state.id,
      attempts,
      next,
      last: outcome.last,
      dead: next === null,
    };
    this.counts.failedAttempts += 1;
    const fields = { flow_run: run.id, state: run.state.id, attempts, answer: outcome.last };
    if (outcome.refused) logger.error('the host refuses notifications: is HOST_WEBHOOK_KEY right?', fields);
    else logger.warn('the host was not told', fields);
    if (record.dead) {
      this.counts.dead += 1;
      logger.error('delivery given up', fields);
    }
    return { labels: deliveryLabel(record), again: delay };
  }
}

/** What a step leaves: labels to write, and seconds after which it has to be done again. */
interface Step {
  labels?: Record<string, string>;
  again?: number | undefined;
}
const DONE: Step = {};

/** An upstream error's message is safe to log; another one's may hold anything. */
function wordOf(error: unknown): string {
  if (error instanceof UpstreamError) return error.message;
  return error instanceof Error ? error.name : 'error';
}
