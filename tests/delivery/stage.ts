import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Children } from '../../bench/lib/children.js';
import { Facade } from './facade.js';
import { FakeHost } from './host.js';
import { Orchestrator } from './orchestrator.js';
import { PrefectServer } from './prefect-server.js';
import type { Run } from './runs.js';
import { UpstreamProxy } from './upstream-proxy.js';
import { WebhookRelay } from './webhook-relay.js';

/** Seconds; small, so that a proof takes minutes. */
export const RECONCILE_INTERVAL = 5;
export const CLEANUP_GRACE = 2;
const HOST_WEBHOOK_TIMEOUT = 2;

export interface StageOptions {
  children: Children;
  version: string;
  python: string;
  /** Sets its folders apart. */
  name: string;
  logs: string;
  /** The address of Prefect's database; SQLite without it. */
  database: string | undefined;
}

export interface Manning {
  /** Facades. */
  instances?: number | undefined;
  /** What the facades have instead of the usual settings, one of them each. @param other the URL of the second host */
  facades?: ((other: string) => Record<string, string>[]) | undefined;
  /** Worker processes of each. */
  workers?: number | undefined;
  /** Prefect's webhook is registered. */
  webhook?: boolean | undefined;
}

/** A Prefect server, a host, and what stands between them and the facades: for one round, or for several. */
export class Stage {
  readonly webhookKey = randomBytes(12).toString('hex');
  /** Runs of the rounds so far. */
  readonly earlier = new Map<string, Run>();
  facades: Facade[] = [];

  private constructor(
    readonly options: StageOptions,
    readonly prefect: PrefectServer,
    readonly orchestrator: Orchestrator,
    readonly proxy: UpstreamProxy,
    readonly relay: WebhookRelay,
    readonly host: FakeHost,
    /** A second host, with the same key: told only in rounds whose facades say so. */
    readonly other: FakeHost,
  ) {}

  static async build(options: StageOptions): Promise<Stage> {
    const { children, python, name, logs, database } = options;
    const prefect = await PrefectServer.start({
      children,
      python,
      name,
      logFile: join(logs, `${name}-prefect.log`),
      database,
    });
    const host = await FakeHost.start();
    return new Stage(
      options,
      prefect,
      new Orchestrator(prefect.apiUrl),
      await UpstreamProxy.start(prefect.apiUrl),
      await WebhookRelay.start(),
      host,
      await FakeHost.start(host),
    );
  }

  /** Starts facades; everything between them and the rest is whole again. */
  async open(
    round: string,
    { instances = 1, workers = 1, webhook = false, facades }: Manning,
  ): Promise<void> {
    this.proxy.events = 'pass';
    this.proxy.passage = this.host.passage = undefined;
    this.proxy.calls = 0;
    this.relay.mode = 'pass';
    this.relay.taken = 0;
    this.host.deliveries = [];
    this.other.deliveries = [];
    this.host.refused = 0;
    await this.host.become('healthy');
    const env = {
      PREFECT_API_URL: this.proxy.apiUrl,
      PREFECT_NOTIFICATIONS_WEBHOOK_KEY: this.webhookKey,
      // Without it what a facade does by default.
      ...(webhook && { WEBHOOK_AUTO_REGISTER: 'true' }),
      WEBHOOK_PUBLIC_URL: this.relay.url,
      HOST_WEBHOOK_URL: this.host.url,
      HOST_WEBHOOK_KEY: this.host.key,
      HOST_WEBHOOK_SECRET: this.host.secret,
      HOST_WEBHOOK_TIMEOUT: String(HOST_WEBHOOK_TIMEOUT),
      RECONCILE_INTERVAL: String(RECONCILE_INTERVAL),
      CLEANUP_GRACE: String(CLEANUP_GRACE),
    };
    const { children, logs, name } = this.options;
    this.facades = [];
    const settings = facades?.(this.other.url) ?? Array.from({ length: instances }, () => ({}));
    for (const [index, own] of settings.entries()) {
      const logFile = join(logs, `${name}-${round}-facade-${index + 1}.log`);
      this.facades.push(await Facade.start(children, { ...env, ...own }, workers, logFile));
    }
    this.relay.targets = this.facades.map(({ url }) => url);
  }

  async closeFacades(): Promise<void> {
    await Promise.all(this.facades.map((facade) => facade.stop()));
    this.facades = [];
    this.relay.targets = [];
  }

  async close(): Promise<void> {
    await this.closeFacades();
    await this.prefect.kill();
    await Promise.all([
      this.orchestrator.close(),
      this.proxy.close(),
      this.relay.close(),
      this.host.close(),
      this.other.close(),
    ]);
  }
}
