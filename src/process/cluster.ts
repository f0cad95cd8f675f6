import cluster from 'node:cluster';
import type { RelayingLogger } from '../logger.js';
import type { Metrics } from '../metrics/metrics.js';
import type { Facade, ServeOptions } from '../serve.js';
import type { OnHint } from '../services/hints.js';
import type { Standby } from '../services/settlement/standby.js';
import { FileLimit } from '../server/file-limit.js';
import { Fleet } from './cluster/fleet.js';

export interface ClusterOptions {
  config: ServeOptions['config'];
  workers: number;
  /** What workers get beside the environment that this process was started with; they read the rest again. */
  workerEnv: NodeJS.ProcessEnv;
  logger: RelayingLogger;
  /** Takes what the webhooks of all workers hear. */
  hint: OnHint;
  /** Whether and why nothing is delivered at the moment; workers hear of it. */
  standby: Standby | undefined;
  /** Where the primary counts. */
  metrics: Metrics;
  /** Aborting gives up a start under way. */
  signal: AbortSignal;
}

export interface ClusterFacade extends Facade {
  /** Replaces the workers one by one; new ones read the configuration again. */
  reload(): void;
}

/**
 * Starts the facade in several processes, this one their primary. SIGTTIN and SIGTTOU make them one more and one fewer.
 * @throws Error with the reason where no worker comes up
 */
export async function startCluster(options: ClusterOptions): Promise<ClusterFacade> {
  const { config, workers, workerEnv, logger, hint, standby, metrics, signal } = options;
  // What they write comes through pipes: one process writes it all.
  cluster.setupPrimary({ args: [], stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
  // Connections are accepted in this process.
  const files = new FileLimit(logger, metrics);
  const fleet = new Fleet({
    size: workers,
    timeoutMs: config.WORKER_TIMEOUT * 1000,
    gracefulMs: (config.DRAIN_DELAY + config.GRACEFUL_TIMEOUT) * 1000,
    fork: () => cluster.fork(workerEnv),
    logger,
    hint,
    standby,
    metrics,
    relay: logger.relay,
    relayErrors: logger.relayErrors,
  });
  try {
    const url = await Promise.race([fleet.start(), aborted(signal)]);
    const forget = onSignals({
      SIGTTIN: () => {
        fleet.resize(1);
      },
      SIGTTOU: () => {
        fleet.resize(-1);
      },
    });
    return {
      url,
      reload: () => {
        fleet.reload();
      },
      close: async () => {
        await fleet.close();
        files.close();
        forget();
      },
    };
  } catch (error) {
    await fleet.close();
    throw error;
  }
}

function onSignals(handlers: Partial<Record<NodeJS.Signals, () => void>>): () => void {
  const entries = Object.entries(handlers);
  for (const [signal, handler] of entries) process.on(signal, handler);
  return () => {
    for (const [signal, handler] of entries) process.off(signal, handler);
  };
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const onAbort = () => {
      reject(new Error('the start was given up'));
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
}
