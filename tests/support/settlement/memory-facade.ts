import type { LogFields, Logger } from '../../../src/logger.js';
import type { Hint } from '../../../src/services/hints.js';
import { RunPoller } from '../../../src/services/poll.js';
import { Channel, DEFAULT_CHANNEL } from '../../../src/services/settlement/channel.js';
import { SharedPosition } from '../../../src/services/settlement/position.js';
import { Reconciler } from '../../../src/services/settlement/reconciler.js';
import { Settlement } from '../../../src/services/settlement/settlement.js';
import { MemoryWebhook, type MemoryHost } from './memory-host.js';
import { MemoryClient, type Life, type MemoryOrchestrator } from './memory-orchestrator.js';

export interface MemoryFacadeOptions {
  name: string;
  orchestrator: MemoryOrchestrator;
  host: MemoryHost;
  graceSeconds: number;
  intervalSeconds: number;
  lookbackSeconds: number;
}

/** One process that settles runs, over an orchestrator and a host in memory. Started by `new`. */
export class MemoryFacade {
  readonly life: Life = { isDead: false };
  readonly lines: string[] = [];
  private readonly settlement: Settlement;
  private readonly reconciler: Reconciler;
  private readonly webhook: MemoryWebhook;

  constructor({ name, orchestrator, host, ...options }: MemoryFacadeOptions) {
    const client = new MemoryClient(orchestrator, this.life);
    const logger = this.logger();
    const channel = new Channel(DEFAULT_CHANNEL);
    this.webhook = new MemoryWebhook(host, this.life);
    this.settlement = new Settlement({
      client,
      poller: new RunPoller(),
      host: this.webhook,
      channel,
      logger,
      graceSeconds: options.graceSeconds,
    });
    const shared = new SharedPosition({
      variable: channel.variable,
      name,
      target: 'host',
      silenceMs: (2 * options.intervalSeconds + 5) * 1000,
      now: () => Date.now(),
    });
    const { settlement } = this;
    this.reconciler = new Reconciler({
      client,
      settlement,
      shared,
      channel,
      logger,
      ...options,
      onRole: () => {},
    });
    this.reconciler.start();
  }

  hint(hint: Hint): void {
    if (!this.life.isDead) this.settlement.hint(hint);
  }

  /** Ends it as SIGKILL does. */
  kill(): void {
    this.life.isDead = true;
    // Its timers, which are ours.
    void this.end();
  }

  /** Ends it as SIGTERM does. */
  async close(): Promise<void> {
    await this.end();
    this.life.isDead = true;
  }

  private async end(): Promise<void> {
    this.webhook.stop();
    await Promise.all([this.reconciler.stop(), this.settlement.close()]);
    await this.reconciler.handOver();
  }

  private logger(): Logger {
    const write =
      (level: string) =>
      (message: string, fields: LogFields = {}) =>
        this.lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
    return {
      info: write('info'),
      warn: write('warn'),
      error: write('error'),
      close: () => Promise.resolve(),
    };
  }
}
