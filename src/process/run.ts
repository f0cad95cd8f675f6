import type { Config } from '../config.js';
import { createLogger } from '../logger.js';
import { serve, type Facade } from '../serve.js';
import type { LocalStack } from './local-stack.js';

interface RunOptions {
  config: Config;
  /** The project's root. */
  root: string;
  say: (line: string) => void;
}

/** Serves until a signal comes or a part dies. @returns the exit code */
export async function run({ config, root, say }: RunOptions): Promise<number> {
  const logger = createLogger({
    level: config.LOG_LEVEL,
    directory: config.LOGDIR,
    readable: process.stdout.isTTY,
  });
  const ending = endOfRun();
  let stack: LocalStack | undefined;
  let facade: Facade | undefined;
  try {
    stack = config.PREFECT_API_URL ? undefined : await startStack(config, root, say, ending);
    const apiUrl = config.PREFECT_API_URL ?? stack?.apiUrl ?? '';
    const localDefaults = stack
      ? { DEFAULT_WORK_POOL_NAME: config.DEFAULT_WORK_POOL_NAME ?? config.PREFECT_POOL_NAME }
      : {};
    const port = await portFor(config, stack !== undefined, say);
    facade = await serve({ config: { ...config, ...localDefaults, PREFECT_API_URL: apiUrl }, logger, port });
    if (stack) await announceStack(stack, facade, root, say);
    else
      logger.info('listening', {
        url: facade.url,
        prefect: withoutCredentials(apiUrl),
        node: process.version,
      });
    return await ending.reason;
  } catch (error) {
    if (ending.signal.aborted) return await ending.reason;
    throw error;
  } finally {
    await facade?.close();
    await stack?.stop();
    await logger.close();
  }
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
  say: (line: string) => void,
  ending: Ending,
): Promise<LocalStack> {
  const { startLocalStack, lineWriters } = await import('./local-stack.js');
  const queue = (name: string, concurrencyLimit: number | undefined) =>
    concurrencyLimit === undefined ? { name } : { name, concurrencyLimit };
  return startLocalStack({
    root,
    poolName: config.PREFECT_POOL_NAME,
    poolType: config.PREFECT_WORK_POOL_TYPE,
    queues: [
      queue(config.PREFECT_WORK_QUEUE1_NAME, config.PREFECT_WORK_QUEUE1_CONCURRENCY_LIMIT),
      queue(config.PREFECT_WORK_QUEUE2_NAME, config.PREFECT_WORK_QUEUE2_CONCURRENCY_LIMIT),
    ],
    prefectPort: config.PREFECT_SERVER_PORT,
    python: config.PYTHON,
    signal: ending.signal,
    ...lineWriters(process.stdout),
    onCrash: (what, lastLines) => {
      say(`${what} died; its last lines:\n${lastLines.map((line) => `    ${line}`).join('\n')}`);
      ending.end(1);
    },
  });
}

/** With a stack of its own a taken port is no reason to stop; with a host's configuration it is. */
async function portFor(config: Config, isLocal: boolean, say: (line: string) => void): Promise<number> {
  const wanted = config.PREFECT_PROXY_API_PORT;
  if (!isLocal) return wanted;
  const { freePort } = await import('./local-stack.js');
  const port = await freePort(wanted, config.PREFECT_PROXY_API_HOST);
  if (port !== wanted) say(`port ${wanted} is taken: the facade listens on ${port}`);
  return port;
}

async function announceStack(
  stack: LocalStack,
  facade: Facade,
  root: string,
  say: (line: string) => void,
): Promise<void> {
  const { recordFacade } = await import('./local-stack.js');
  recordFacade(root, facade.url);
  say(
    [
      '',
      `  facade          ${facade.url}   (API description: ${facade.url}/openapi.json)`,
      `  Prefect         ${stack.uiUrl}`,
      `  Prefect's API   ${stack.apiUrl}`,
      `  logs            ${stack.logFiles.join('  ')}`,
      '',
      '  Try it, in another terminal:   npm run demo',
      '  End it:                        Ctrl-C',
      '',
    ].join('\n'),
  );
}

function withoutCredentials(url: string): string {
  const { origin, pathname } = new URL(url);
  return origin + pathname;
}
