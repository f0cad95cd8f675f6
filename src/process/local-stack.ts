import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { lastLines, startChild, type Child } from './local/child.js';
import { cleanedEnv, prefectEnv } from './local/clean-env.js';
import { endStack, killStackNow } from './local/end-stack.js';
import { LocalStackError } from './local/errors.js';
import { localPaths } from './local/paths.js';
import { freePort } from './local/ports.js';
import { ensurePool, hasWorker, isHealthy, type QueueOptions } from './local/prefect-rest.js';
import { makeProgress } from './local/progress.js';
import { ensurePythonEnv } from './local/python-env.js';
import { claim, recordParts, release } from './local/run-file.js';

export { LocalStackError } from './local/errors.js';
export { freePort } from './local/ports.js';
export { recordRunning } from './local/run-file.js';

export interface LocalStackOptions {
  /** The project's root: holds `flows/`, and `.local/` is made in it. */
  root: string;
  poolName: string;
  poolType: string;
  queues: QueueOptions[];
  /** Where it is taken, the next free one is used. */
  prefectPort: number;
  /** A terse line for people. */
  say: (line: string) => void;
  /** A line that replaces the one before: for a terminal (see lineWriters). */
  update?: ((line: string) => void) | undefined;
  /** Called once when a part dies after the start; the stack is not stopped by that. */
  onCrash: (what: string, lastLines: string[]) => void;
  /** The Python to use instead of the first usable one on the PATH. */
  python?: string | undefined;
  /** Aborting gives up a start under way; what it began is ended first. */
  signal?: AbortSignal | undefined;
}

export interface LocalStack {
  apiUrl: string;
  uiUrl: string;
  logFiles: string[];
  /** Ends all processes of the stack, within 8 s. Further calls wait for the first. */
  stop(): Promise<void>;
}

const START_TIMEOUT = 60_000;
const HOST = '127.0.0.1';

/** Runs a Prefect server and a worker on loopback; resolves when the worker takes runs. */
export async function startLocalStack(options: LocalStackOptions): Promise<LocalStack> {
  const { root, say, signal } = options;
  const paths = localPaths(root);
  signal?.throwIfAborted();
  const left = claim(root);
  const children: { server?: Child; worker?: Child } = {};
  let stopping: Promise<void> | undefined;

  const onExit = () => {
    killStackNow(paths.local, children);
  };
  const stop = () => {
    stopping ??= endStack(paths.local, children).then(() => {
      process.off('exit', onExit);
      release(root);
    });
    return stopping;
  };

  try {
    const orphans = await endStack(paths.local, left);
    if (orphans > 0) say(`Ended ${orphans} processes that an earlier run had left behind`);
    process.on('exit', onExit);

    const base = cleanedEnv(process.env, paths.local);
    const progress = makeProgress(say, options.update);
    const python = { ...options, local: paths.local, lockFile: paths.lockFile, env: base, progress };
    const bin = join(await ensurePythonEnv(python), 'bin');
    await mkdir(paths.home, { recursive: true });
    await mkdir(paths.logs, { recursive: true });

    const port = await freePort(options.prefectPort, HOST);
    if (port !== options.prefectPort) say(`Port ${options.prefectPort} is taken: Prefect gets ${port}`);
    const uiUrl = `http://${HOST}:${port}`;
    const apiUrl = `${uiUrl}/api`;
    const env = prefectEnv(base, { home: paths.home, apiUrl, bin });
    // Not the project's root as the directory: Prefect reads settings from a .env and a pyproject.toml there.
    const prefect = (name: string, ...args: string[]) =>
      startChild(name, join(bin, 'python'), [join(bin, 'prefect'), ...args], {
        env,
        cwd: paths.home,
        logFile: join(paths.logs, `${name}.log`),
      });

    say(`Prefect server starts on ${uiUrl}`);
    const server = await prefect('server', 'server', 'start', '--host', HOST, '--port', String(port));
    children.server = server;
    recordParts(root, children);
    await ready([server], () => isHealthy(apiUrl), signal);

    const { poolName, poolType, queues } = options;
    await ensurePool(apiUrl, { name: poolName, type: poolType, queues });
    say(`Worker starts for the pool ${poolName}, queues ${queues.map(({ name }) => name).join(', ')}`);
    const since = new Date();
    // A fixed name: each start with a name of its own would leave one more offline worker at the server.
    const names = ['--pool', poolName, '--type', poolType, '--name', 'local', '--install-policy', 'never'];
    const worker = await prefect('worker', 'worker', 'start', ...names);
    children.worker = worker;
    recordParts(root, children);
    await ready([server, worker], () => hasWorker(apiUrl, poolName, since), signal);

    let crashed = false;
    for (const child of [server, worker]) {
      void child.ended.then((how) => {
        // The worker follows a dead server: one report is enough.
        if (stopping || crashed) return;
        crashed = true;
        options.onCrash(`${child.name} ${how}`, lastLines(child.logFile));
      });
    }
    return { apiUrl, uiUrl, logFiles: [server.logFile, worker.logFile], stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Waits until `isReady`; fails with the last lines of the log where a part dies before, or time is up. */
async function ready(
  children: Child[],
  isReady: () => Promise<boolean>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const until = Date.now() + START_TIMEOUT;
  while (!(await isReady())) {
    signal?.throwIfAborted();
    const dead = children.find((child) => child.hasEnded());
    const slow = Date.now() > until ? children.at(-1) : undefined;
    const failed = dead ?? slow;
    if (failed) {
      const how = dead ? await dead.ended : `was not ready within ${START_TIMEOUT / 1000} s`;
      const lines = lastLines(failed.logFile).map((line) => `  | ${line}`);
      throw new LocalStackError([`The Prefect ${failed.name} ${how}. Its log:`, ...lines].join('\n'));
    }
    await sleep(50);
  }
}
