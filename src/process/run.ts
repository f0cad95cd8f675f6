import { randomUUID } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { doubtsOf, loadConfigAgain, type Config } from '../config.js';
import { workQueuesOf } from '../config/work-queues.js';
import { createLogger, type Logger } from '../logger.js';
import { Metrics } from '../metrics/metrics.js';
import { readLog } from '../metrics/serving.js';
import type { Facade, ServeOptions } from '../serve.js';
import type { Settling } from '../settle.js';
import { leftOf, startTelemetry, type Telemetry } from '../telemetry/telemetry.js';
import { Terminal } from '../server/terminal.js';
import { removeStaleSocket, socketPath } from './address.js';
import type { LocalStack } from './local-stack.js';
import { lineWriters } from './local/progress.js';

interface RunOptions {
  config: Config;
  /** The environment without what `.env` added: workers read that file again. */
  givenEnv: NodeJS.ProcessEnv;
  /** The project's root. */
  root: string;
  /** What runs once a machine, however many workers serve: in their primary, or in the single process. */
  startTasks?: (
    config: ServeOptions['config'],
    logger: Logger,
    telemetry: Telemetry,
    metrics: Metrics,
  ) => Settling | Promise<Settling>;
}

/** Serves until a signal comes or a part dies. @returns the exit code */
export async function run({ config, givenEnv, root, startTasks = settleEnded }: RunOptions): Promise<number> {
  const logger = createLogger({
    level: config.LOG_LEVEL,
    directory: config.LOGDIR,
    readable: process.stdout.isTTY,
  });
  const writers = lineWriters(logger.print);
  const metrics = new Metrics();
  metrics.addProcess();
  readLog(metrics, logger);
  const ending = endOfRun();
  let reload: (() => Promise<void>) | undefined;
  const forgetHangUps = onHangUp(ending, logger, () => reload?.());
  let telemetry: Telemetry | undefined;
  let stack: LocalStack | undefined;
  let settling: Settling | undefined;
  let facade: Facade | undefined;
  try {
    telemetry = await startTelemetry(config, logger);
    stack = config.PREFECT_API_URL ? undefined : await startStack(config, root, writers, ending);
    const settled = {
      ...config,
      ...localDefaults(config, stack),
      PREFECT_PROXY_API_PORT: await portFor(config, stack !== undefined, writers.say),
      PREFECT_API_URL: config.PREFECT_API_URL ?? stack?.apiUrl ?? '',
    };
    const path = socketPath(config.PREFECT_PROXY_API_HOST);
    if (path !== undefined) await removeStaleSocket(path);
    if (settled.RECONCILE_INTERVAL > 0) settling = await startTasks(settled, logger, telemetry, metrics);
    const hint = settling?.hint ?? (() => {});
    const standby = settling?.standby;
    const workers = numberOfWorkers(config, stack !== undefined);
    if (workers === 1) {
      const { serve } = await import('../serve.js');
      const port = settled.PREFECT_PROXY_API_PORT;
      const learnVersion = true;
      const single = await serve({
        config: settled,
        logger,
        port,
        hint,
        standby,
        telemetry,
        metrics,
        learnVersion,
      });
      facade = single;
      reload = async () => {
        const { PREFECT_API_URL, ...next } = await loadConfigAgain({
          ...givenEnv,
          ...envOfWorkers(givenEnv, settled, stack),
        });
        if (PREFECT_API_URL === undefined) throw new Error('PREFECT_API_URL: gone since the start');
        await single.reload({ ...next, PREFECT_API_URL });
      };
    } else {
      const { startCluster } = await import('./cluster.js');
      const workerEnv = envOfWorkers(givenEnv, settled, stack);
      const cluster = await startCluster({
        config: settled,
        workers,
        workerEnv,
        logger,
        hint,
        standby,
        metrics,
        signal: ending.signal,
      });
      facade = cluster;
      reload = () => {
        cluster.reload();
        return Promise.resolve();
      };
    }
    settling?.listening(facade.url);
    for (const doubt of doubtsOf(config)) logger.warn('configuration', { doubt });
    if (stack) await announceStack(stack, facade, settled, root, writers.say);
    else
      logger.info('listening', {
        url: facade.url,
        prefect: withoutCredentials(settled.PREFECT_API_URL),
        node: process.version,
        pid: process.pid,
        workers,
      });
    return await ending.reason;
  } catch (error) {
    if (ending.signal.aborted) return await ending.reason;
    throw error;
  } finally {
    const endedAt = performance.now();
    reload = undefined;
    await facade?.close();
    // What an orchestrator that is away keeps from ending, goes on with the next start.
    await Promise.race([settling?.close(), sleep(leftOf(config, endedAt), undefined, { ref: false })]);
    await stack?.stop();
    await telemetry?.close(leftOf(config, endedAt));
    await logger.close();
    forgetHangUps();
  }
}

async function settleEnded(
  config: ServeOptions['config'],
  logger: Logger,
  telemetry: Telemetry,
  metrics: Metrics,
): Promise<Settling> {
  const { startSettling } = await import('../settle.js');
  return startSettling(config, logger, telemetry, metrics);
}

/**
 * SIGHUP: a terminal that is closed ends everything in order, as nobody would see or end it any more; otherwise a reload.
 * @returns what stops listening
 */
function onHangUp(ending: Ending, logger: Logger, reload: () => Promise<void> | undefined): () => void {
  const terminal = new Terminal();
  let last = Promise.resolve();
  const reloadNow = async () => {
    try {
      await reload();
    } catch (error) {
      const reason = error instanceof Error ? error.message : 'unknown';
      logger.error('reload failed: the configuration stays as it was', { reason });
    }
  };
  const listener = () => {
    void terminal.isClosed().then((isClosed) => {
      if (!isClosed) last = last.then(reloadNow);
      else {
        logger.info('the terminal was closed');
        ending.end(0);
      }
    });
  };
  process.on('SIGHUP', listener);
  return () => {
    process.off('SIGHUP', listener);
  };
}

/** One for each CPU, at most 4; with the local stack, which is for one person, a single process. */
function numberOfWorkers(config: Config, isLocal: boolean): number {
  return config.WEB_CONCURRENCY ?? (isLocal ? 1 : Math.min(availableParallelism(), 4));
}

/** Deployments that name no pool go to the one of the local stack; its webhook works with a key that nobody has to set. */
function localDefaults(config: Config, stack: LocalStack | undefined) {
  if (!stack) return {};
  const keys = config.PREFECT_NOTIFICATIONS_WEBHOOK_KEY;
  return {
    DEFAULT_WORK_POOL_NAME: config.DEFAULT_WORK_POOL_NAME ?? config.PREFECT_POOL_NAME,
    PREFECT_NOTIFICATIONS_WEBHOOK_KEY: keys.length > 0 ? keys : [randomUUID()],
  };
}

/**
 * What a worker's environment has in place of ours: what `.env` added is taken out, so that it reads that file as it is
 * then; what was settled at the start stays.
 */
function envOfWorkers(
  givenEnv: NodeJS.ProcessEnv,
  settled: ServeOptions['config'],
  stack: LocalStack | undefined,
): NodeJS.ProcessEnv {
  const added = Object.keys(process.env).filter((name) => !(name in givenEnv));
  return {
    ...Object.fromEntries(added.map((name) => [name, undefined])),
    PREFECT_PROXY_API_HOST: settled.PREFECT_PROXY_API_HOST,
    PREFECT_PROXY_API_PORT: String(settled.PREFECT_PROXY_API_PORT),
    ...(stack && {
      PREFECT_API_URL: settled.PREFECT_API_URL,
      DEFAULT_WORK_POOL_NAME: settled.DEFAULT_WORK_POOL_NAME,
      PREFECT_NOTIFICATIONS_WEBHOOK_KEY: settled.PREFECT_NOTIFICATIONS_WEBHOOK_KEY.join(),
    }),
  };
}

interface Ending {
  reason: Promise<number>;
  /** Aborted when the end begins, so that a start under way is given up. */
  signal: AbortSignal;
  end(code: number): void;
}

/** The end begins with the first SIGINT or SIGTERM, or when someone calls `end`. */
function endOfRun(): Ending {
  const abort = new AbortController();
  const reason = new Promise<number>((resolve) => {
    abort.signal.addEventListener('abort', () => {
      resolve(Number(abort.signal.reason));
    });
  });
  const end = (code: number) => {
    if (!abort.signal.aborted) abort.abort(code);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      end(0);
    });
  return { reason, signal: abort.signal, end };
}

async function startStack(
  config: Config,
  root: string,
  writers: ReturnType<typeof lineWriters>,
  ending: Ending,
): Promise<LocalStack> {
  const { startLocalStack } = await import('./local-stack.js');
  return startLocalStack({
    root,
    poolName: config.PREFECT_POOL_NAME,
    poolType: config.PREFECT_WORK_POOL_TYPE,
    queues: workQueuesOf(config),
    prefectPort: config.PREFECT_SERVER_PORT,
    python: config.PYTHON,
    signal: ending.signal,
    ...writers,
    onCrash: (what, lastLines) => {
      writers.say(`${what} died; its last lines:`);
      for (const line of lastLines) writers.say(`    ${line}`);
      ending.end(1);
    },
  });
}

/** With a stack of its own a taken port is no reason to stop; with a host's configuration it is. */
async function portFor(config: Config, isLocal: boolean, say: (line: string) => void): Promise<number> {
  const wanted = config.PREFECT_PROXY_API_PORT;
  if (!isLocal || socketPath(config.PREFECT_PROXY_API_HOST) !== undefined) return wanted;
  const { freePort } = await import('./local-stack.js');
  const port = await freePort(wanted, config.PREFECT_PROXY_API_HOST);
  if (port !== wanted) say(`port ${wanted} is taken: the facade listens on ${port}`);
  return port;
}

async function announceStack(
  stack: LocalStack,
  facade: Facade,
  { PREFECT_NOTIFICATIONS_WEBHOOK_KEY: [webhookKey = ''] }: Config,
  root: string,
  say: (line: string) => void,
): Promise<void> {
  const { recordRunning } = await import('./local-stack.js');
  recordRunning(root, { url: facade.url, apiUrl: stack.apiUrl, webhookKey });
  const lines = [
    '',
    `  facade          ${facade.url}   (API description: ${facade.url}/openapi.json)`,
    `  Prefect         ${stack.uiUrl}`,
    `  Prefect's API   ${stack.apiUrl}`,
    `  logs            ${stack.logFiles.join('  ')}`,
    '',
    '  Try it, in another terminal:   npm run demo',
    '  End it:                        Ctrl-C',
    '',
  ];
  for (const line of lines) say(line);
}

function withoutCredentials(url: string): string {
  const { origin, pathname } = new URL(url);
  return origin + pathname;
}
