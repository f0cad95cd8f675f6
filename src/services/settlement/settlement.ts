import type { HostWebhook } from '../../host/webhook.js';
import type { Logger } from '../../logger.js';
import type { PrefectClient } from '../../prefect/client.js';
import { parseRun, type EndedRun } from '../../prefect/ended-runs.js';
import type { Tracing } from '../../telemetry/tracing.js';
import type { Hint } from '../hints.js';
import type { RunPoller } from '../poll.js';
import { Cleaning } from './cleaning.js';
import { Cleanup } from './cleanup.js';
import { Desk } from './desk.js';
import { Notes } from './notes.js';
import { Telling, type TellingCounts } from './telling.js';

export interface SettlementDeps {
  client: PrefectClient;
  poller: RunPoller;
  /** None: runs are settled without telling anyone. */
  host?: HostWebhook | undefined;
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

/**
 * Settles flow runs that have ended: tells the host and cleans up after them, side by side, so that neither a slow host
 * nor a busy orchestrator holds up the other; both note what they did in the run's labels. Everything may be done twice
 * (a crash in between, a second instance): the same news has the same id, and clean-up names what it frees.
 */
export class Settlement {
  /** Milliseconds by which hints wait: whoever does not lead lets the leader be first. */
  hintDelayMs = 0;
  private readonly notes: Notes;
  private readonly telling: Desk;
  private readonly cleaning: Desk;
  private readonly isTimeToProbe: () => boolean;
  private readonly counts: { telling: TellingCounts; cleaning: Cleaning['counts'] };

  constructor(options: SettlementDeps) {
    const { client, poller, host, logger, graceSeconds, tracing, onDelivered } = options;
    this.notes = new Notes(client, host ? 2 : 1);
    const deps = { client, poller, logger, tracing, notes: this.notes };
    const telling = new Telling({
      host,
      logger,
      behindSeconds: () => this.hintDelayMs / 1000,
      onHostBack: () => {
        this.telling.hurryAll();
      },
      onDelivered,
    });
    this.telling = new Desk(deps, telling);
    this.isTimeToProbe = () => telling.isTimeToProbe();
    const isIn = async (id: string, stateId: string) => {
      const run = parseRun(await poller.pollAfresh(client.session(), id));
      return run.state?.id === stateId;
    };
    const cleaning = new Cleaning({ cleanup: new Cleanup(client), logger, graceSeconds, isIn });
    this.cleaning = new Desk(deps, cleaning);
    this.counts = { telling: telling.counts, cleaning: cleaning.counts };
  }

  /** What is going on at this moment, and since the start. */
  get numbers(): SettlementNumbers {
    return {
      telling: { ...this.counts.telling, ...this.telling.waiting },
      cleaning: { ...this.counts.cleaning, ...this.cleaning.waiting },
    };
  }

  /** Takes a hint; the run is read when its turn comes. */
  readonly hint = (hint: Hint): void => {
    this.telling.hint(hint, this.hintDelayMs);
    if (!hint.replay) this.cleaning.hint(hint, this.hintDelayMs);
  };

  /** Takes a run that a sweep found unfinished: until it is finished, `openSince` counts it. */
  found(run: EndedRun): void {
    this.telling.found(run, this.hintDelayMs);
    this.cleaning.found(run, this.hintDelayMs);
  }

  /** Tries a host that does not answer once out of turn: if it does now, all that waits goes at once. */
  probeHost(): void {
    if (this.isTimeToProbe()) this.telling.hurryAny();
  }

  /** The earliest end of a run that is not finished, as far as known: a sweep after a restart begins there. */
  openSince(): string | undefined {
    const [told, cleaned] = [this.telling.openSince(), this.cleaning.openSince()];
    return told !== undefined && (cleaned === undefined || told < cleaned) ? told : cleaned;
  }

  /** Starts nothing new and waits for what is under way. */
  async close(): Promise<void> {
    this.notes.close();
    await Promise.all([this.telling.close(), this.cleaning.close()]);
  }
}
