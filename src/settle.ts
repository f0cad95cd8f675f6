import { hostname } from 'node:os';
import type { Config } from './config.js';
import { fingerprint } from './host/fingerprint.js';
import { HostWebhook, type HostWebhookOptions } from './host/webhook.js';
import type { Logger } from './logger.js';
import { Metrics } from './metrics/metrics.js';
import { callMetrics, readClient, readEventStream } from './metrics/serving.js';
import { attemptMetrics, deliveryMetrics, readReconciler, readSettlement } from './metrics/settling.js';
import { EventStream } from './prefect/event-stream.js';
import { createClient, eventsConnection, hostNetwork } from './create-client.js';
import type { OnHint } from './services/hints.js';
import { RunPoller } from './services/poll.js';
import { Channel } from './services/settlement/channel.js';
import { SharedPosition } from './services/settlement/position.js';
import { Reconciler } from './services/settlement/reconciler.js';
import { Settlement } from './services/settlement/settlement.js';
import { Standby } from './services/settlement/standby.js';
import { WebhookSource } from './services/webhook-source.js';
import { NO_TELEMETRY, type Telemetry } from './telemetry/telemetry.js';

export interface Settling {
  /** Takes what the webhook hears. */
  hint: OnHint;
  /** Whether and why nothing is delivered here at the moment. */
  standby: Standby;
  /** The facade listens: Prefect can be told to post its webhook there. @param url where */
  listening(url: string): void;
  /** Resolves when what is under way is done. */
  close(): Promise<void>;
}

/** The Variable of the instances that have no host. */
const CLEANUP_VARIABLE = 'prefect_proxy_cleanup';
const STANDS_BY =
  'another instance delivers to another HOST_WEBHOOK_URL under the same HOST_WEBHOOK_NAME; this one takes over when ' +
  'the other one ends';

/** A leader that is silent for so many intervals, and some seconds, is gone. */
const SILENT_INTERVALS = 2;
const SILENT_SECONDS = 5;

/** News may wait a moment where it saves a busy Prefect a call: while one read is under way, the next ones gather. */
const GATHERED_READS = { gatherMs: 50, flights: 1, patienceMs: 1_000 };

/**
 * Starts the settlement of runs that end, with its three sources: webhook (`hint`), event stream, reconciler.
 * @param telemetry whoever started it closes it
 * @param metrics where it counts
 */
export function startSettling(
  config: Config & { PREFECT_API_URL: string },
  plainLogger: Logger,
  { tracing, alarming }: Telemetry = NO_TELEMETRY,
  metrics = new Metrics(),
): Settling {
  const logger = alarming(plainLogger);
  const client = createClient(config, config.PREFECT_API_URL, { tracing, onCall: callMetrics(metrics) });
  const host = hostOf(config, { tracing, onAttempt: attemptMetrics(metrics) });
  const standby = new Standby();
  const channel = new Channel(config.HOST_WEBHOOK_NAME);
  const settlement = new Settlement({
    client,
    poller: new RunPoller(GATHERED_READS),
    host,
    channel,
    syncRuns: config.HOST_WEBHOOK_SYNC_RUNS,
    logger,
    graceSeconds: config.CLEANUP_GRACE,
    tracing,
    onDelivered: deliveryMetrics(metrics),
  });
  const webhook = new WebhookSource({ config, client, logger });
  let wasOpen = true;
  const events = new EventStream({
    ...eventsConnection(config, config.PREFECT_API_URL),
    onEnded: settlement.hint,
    onCreated: settlement.created,
    onChange: (isOpen, reason) => {
      logger.info('event stream', { open: isOpen, reason });
      webhook.eventsChanged(isOpen);
      // What happened while it was lost is found at once, not an interval later.
      if (wasOpen !== isOpen) reconciler.sweepSoon();
      wasOpen = isOpen;
    },
  });
  const silenceSeconds = SILENT_INTERVALS * config.RECONCILE_INTERVAL + SILENT_SECONDS;
  const reconciler = new Reconciler({
    client,
    settlement,
    shared: new SharedPosition({
      ...leadershipOf(config, channel),
      name: instanceName(config),
      silenceMs: silenceSeconds * 1000,
    }),
    channel,
    logger,
    intervalSeconds: config.RECONCILE_INTERVAL,
    lookbackSeconds: config.RECONCILE_LOOKBACK,
    onRole: (role) => {
      logger.info('reconciler', { leads: role === 'leader' });
      if (role === 'standby')
        logger.error('this instance delivers nothing', { host: channel.name, reason: STANDS_BY });
      standby.set(role === 'standby' ? STANDS_BY : undefined);
      if (role === 'leader') events.open();
      else events.close();
    },
  });
  readClient(metrics, client);
  readEventStream(metrics, events, 'settlement');
  readSettlement(metrics, settlement);
  readReconciler(metrics, reconciler);
  reconciler.start();
  return {
    hint: settlement.hint,
    standby,
    listening: (facadeUrl) => {
      webhook.listening(facadeUrl);
    },
    close: async () => {
      webhook.close();
      events.close();
      host?.stop();
      await Promise.all([reconciler.stop(), settlement.close()]);
      await reconciler.handOver();
      await host?.close();
      await client.close();
    },
  };
}

function hostOf(
  config: Config,
  watching: Pick<HostWebhookOptions, 'tracing' | 'onAttempt'>,
): HostWebhook | undefined {
  if (config.HOST_WEBHOOK_URL === undefined) return undefined;
  return new HostWebhook({
    url: config.HOST_WEBHOOK_URL,
    authorization: config.hostAuthorization,
    network: hostNetwork(config, config.HOST_WEBHOOK_URL),
    key: config.HOST_WEBHOOK_KEY ?? config.PREFECT_NOTIFICATIONS_WEBHOOK_KEY[0],
    secret: config.HOST_WEBHOOK_SECRET,
    timeoutSeconds: config.HOST_WEBHOOK_TIMEOUT,
    concurrency: config.HOST_WEBHOOK_CONCURRENCY,
    ...watching,
  });
}

/**
 * An instance without a host leads nothing that a host waits for: it cleans up, with a leadership of its own.
 */
function leadershipOf({ HOST_WEBHOOK_URL: url }: Config, channel: Channel) {
  if (url === undefined) return { variable: CLEANUP_VARIABLE };
  return { variable: channel.variable, target: fingerprint(url) };
}

/** The same after a restart, so that an instance goes on leading at once; another one on the same machine has another port. */
function instanceName({ PREFECT_PROXY_API_HOST: host, PREFECT_PROXY_API_PORT: port }: Config): string {
  return `${hostname()} ${host}:${port}`;
}
