import type { HostWebhook } from '../../host/webhook.js';
import type { Logger } from '../../logger.js';
import type { PrefectClient } from '../../prefect/client.js';
import { parseRun, type EndedRun } from '../../prefect/ended-runs.js';
import type { Tracing } from '../../telemetry/tracing.js';
import type { Hint } from '../hints.js';
import type { RunPoller } from '../poll.js';
import type { Channel } from './channel.js';
import { Cleaning } from './cleaning.js';
import { Cleanup } from './cleanup.js';
import { DeliveriesWithoutRun } from './deliveries-without-run.js';
import { Desk, wordOf } from './desk.js';
import { MissingRuns } from './missing-runs.js';
import { Notes } from './notes.js';
import { ParentCheck } from './parent-check.js';
import type { Role } from './position.js';
import { Telling, type TellingCounts } from './telling.js';

export interface SettlementDeps {
  client: PrefectClient;
  poller: RunPoller;
  /** None: runs are cleaned up after, and no delivery is made or noted. */
  host?: HostWebhook | undefined;
  channel: Channel;
  /** Whether hosts hear of synchronous runs. */
  syncRuns?: boolean;
  logger: Logger;
  /** Seconds for which a failed or crashed run keeps what it declared, so that it can be retried. */
  graceSeconds: number;
  tracing?: Tracing | undefined;
  /** The host has heard of an end. @param seconds since the run entered its state */
  onDelivered?: ((seconds: number) => void) | undefined;
}

/** What is going on at this moment, and since the start. */
export interface SettlementNumbers {
  telling: TellingCounts & Desk['waiting'];
  cleaning: Cleaning['counts'] & Desk['waiting'];
}

/** An instance that does not lead leaves the leader this time to be first. */
const FOLLOWER_DELAY_MS = 3_000;
const NO_DELIVERIES = { settled: 0, delivered: 0, failedAttempts: 0, dead: 0, fromReports: 0, unknown: 0 };
const NOTHING = { ...NO_DELIVERIES, runs: 0, since: undefined };

/**
 * Settles flow runs that have ended: tells the host and cleans up after them, side by side, so that neither a slow host
 * nor a busy orchestrator holds up the other; both note what they did in the run's labels. Everything may be done twice
 * (a crash in between, a second instance): the same news has the same id, and clean-up names what it frees.
 */
export class Settlement {
  /** Milliseconds by which hints wait: an instance that does not lead lets the leader be first. */
  private delayMs = 0;
  /** The same for clean-up, which is done once for all hosts: the leader of the default channel is to be first. */
  private readonly leastCleaningDelayMs: number;
  private readonly client: PrefectClient;
  private readonly notes: Notes;
  private readonly parents: ParentCheck;
  private readonly withoutRun: DeliveriesWithoutRun;
  private readonly telling: { desk: Desk; work: Telling } | undefined;
  private readonly cleaning: { desk: Desk; work: Cleaning };

  constructor(options: SettlementDeps) {
    const {
      client,
      poller,
      host,
      channel,
      syncRuns = false,
      logger,
      graceSeconds,
      tracing,
      onDelivered,
    } = options;
    this.client = client;
    this.withoutRun = new DeliveriesWithoutRun(client, channel.withoutRunVariable, (error) => {
      logger.warn('a delivery without a run is not noted', { error: wordOf(error) });
    });
    this.parents = new ParentCheck(client);
    this.notes = new Notes(client, host ? 2 : 1);
    const deps = { client, poller, logger, tracing, channel, notes: this.notes };
    this.leastCleaningDelayMs = host && channel.isDefault ? 0 : FOLLOWER_DELAY_MS;
    if (host) {
      const work = new Telling({
        host,
        channel,
        parents: this.parents,
        missingRuns: new MissingRuns(client),
        withoutRun: this.withoutRun,
        syncRuns,
        logger,
        behindSeconds: () => this.delayMs / 1000,
        onHostBack: () => {
          this.telling?.desk.hurryAll();
        },
        onDelivered,
      });
      this.telling = { work, desk: new Desk(deps, work) };
    }
    const isIn = async (id: string, stateId: string) => {
      const run = parseRun(await poller.pollAfresh(client.session(), id));
      return run.state?.id === stateId;
    };
    const behindSeconds = () => this.cleaningDelayMs / 1000;
    const work = new Cleaning({ cleanup: new Cleanup(client), logger, graceSeconds, behindSeconds, isIn });
    this.cleaning = { work, desk: new Desk(deps, work) };
  }

  /** What is going on at this moment, and since the start. */
  get numbers(): SettlementNumbers {
    const { telling, cleaning } = this;
    return {
      telling: telling ? { ...telling.work.counts, ...telling.desk.waiting } : NOTHING,
      cleaning: { ...cleaning.work.counts, ...cleaning.desk.waiting },
    };
  }

  /** Sets what this instance is among those that deliver to the same host; undefined while that is not known. */
  setRole(role: Role | undefined): void {
    this.delayMs = role === 'leader' ? 0 : FOLLOWER_DELAY_MS;
    this.telling?.desk.setGate(role === undefined ? 'waiting' : role === 'standby' ? 'closed' : 'open');
  }

  /** Takes the news that a run was made. */
  get created(): ParentCheck['learn'] {
    return this.parents.learn;
  }

  /** Takes a hint; the run is read when its turn comes. */
  readonly hint = (hint: Hint): void => {
    this.telling?.desk.hint(hint, this.delayMs);
    if (!hint.replay) this.cleaning.desk.hint(hint, this.cleaningDelayMs);
  };

  /** Takes a run that a sweep found unfinished: until it is finished, `openSince` counts it. */
  found(run: EndedRun): void {
    this.telling?.desk.found(run, this.delayMs);
    this.cleaning.desk.found(run, this.cleaningDelayMs);
  }

  /** Whether nothing is left to do here for a run's present state, as its labels say. */
  isFinished(run: EndedRun): boolean {
    return this.cleaning.desk.isDone(run) && this.telling?.desk.isDone(run) !== false;
  }

  /**
   * Goes on with what the leader before noted of runs that hold no labels: what is pending is delivered, and what is
   * delivered is not delivered again.
   * @throws UpstreamError
   */
  async resume(): Promise<void> {
    if (!this.telling) return;
    for (const { flowRunId, stateId, delivery } of await this.withoutRun.list(this.client.session())) {
      if (delivery === 'pending') this.hint({ flowRunId, ...(stateId === null ? {} : { stateId }) });
      else if (stateId !== null) this.telling.desk.remember(flowRunId, stateId);
    }
  }

  /** Tries a host that does not answer once out of turn: if it does now, all that waits goes at once. */
  probeHost(): void {
    if (this.telling?.work.isTimeToProbe()) this.telling.desk.hurryAny();
  }

  /** The earliest end of a run that is not finished, as far as known: a sweep after a restart begins there. */
  openSince(): string | undefined {
    const [told, cleaned] = [this.telling?.desk.openSince(), this.cleaning.desk.openSince()];
    return told !== undefined && (cleaned === undefined || told < cleaned) ? told : cleaned;
  }

  /** Starts nothing new and waits for what is under way. */
  async close(): Promise<void> {
    this.notes.close();
    await Promise.all([this.telling?.desk.close(), this.cleaning.desk.close()]);
    await this.withoutRun.close();
  }

  private get cleaningDelayMs(): number {
    return Math.max(this.delayMs, this.leastCleaningDelayMs);
  }
}
