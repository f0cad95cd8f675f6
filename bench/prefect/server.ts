import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { cleanedEnv } from '../../src/process/local/clean-env.js';
import { localPaths } from '../../src/process/local/paths.js';
import { makeProgress } from '../../src/process/local/progress.js';
import { ensurePythonEnv } from '../../src/process/local/python-env.js';
import { ready, type Child, type Children } from '../lib/children.js';
import { freePort, isOk, root } from '../lib/servers.js';

const INSTALL_TIMEOUT_MS = 180_000;

/** The Python environment of the local stack, made where it is not there yet. @returns its folder */
export function ensurePython(say: (line: string) => void): Promise<string> {
  const { local, lockFile } = localPaths(root);
  const env = cleanedEnv(process.env, local);
  const signal = AbortSignal.timeout(INSTALL_TIMEOUT_MS);
  return ensurePythonEnv({ local, lockFile, env, progress: makeProgress(say), signal });
}

/** Starts a Prefect server with a database of its own. @param database its address; SQLite without it */
export async function startPrefect(
  children: Children,
  python: string,
  database?: string,
): Promise<{ child: Child; apiUrl: string }> {
  const port = await freePort();
  const apiUrl = `http://127.0.0.1:${port}/api`;
  const settings = {
    PREFECT_API_URL: apiUrl,
    PREFECT_SERVER_ANALYTICS_ENABLED: 'false',
    ...(database !== undefined && { PREFECT_API_DATABASE_CONNECTION_URL: database }),
  };
  const args = ['server', 'start', '--host', '127.0.0.1', '--port', String(port)];
  const child = await prefect('prefect', args, { children, python, settings });
  await ready(child, () => isOk(`${apiUrl}/health`), { everyMs: 100 });
  return { child, apiUrl };
}

/** Starts a process worker of a pool, which looks for runs each second. */
export function startWorker(
  children: Children,
  python: string,
  { apiUrl, pool }: { apiUrl: string; pool: string },
): Promise<Child> {
  const settings = { PREFECT_API_URL: apiUrl, PREFECT_WORKER_QUERY_SECONDS: '1' };
  const args = ['worker', 'start', '--pool', pool, '--type', 'process'];
  return prefect('worker', args, { children, python, settings });
}

interface Command {
  children: Children;
  python: string;
  settings: Record<string, string>;
}

/** Starts a command of Prefect's with a home of its own. */
function prefect(name: string, args: string[], { children, python, settings }: Command): Promise<Child> {
  const home = join(children.directory, name);
  mkdirSync(home);
  const bin = join(python, 'bin');
  const env = { PATH: `${bin}:${process.env['PATH'] ?? ''}`, PREFECT_HOME: home, ...settings };
  const logFile = join(children.directory, `${name}.log`);
  const program = [join(bin, 'prefect'), ...args];
  return children.start(name, join(bin, 'python'), program, { cwd: home, env, logFile });
}
