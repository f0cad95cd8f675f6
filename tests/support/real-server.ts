import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestProject } from 'vitest/node';
import { lastLines, startChild } from '../../src/process/local/child.js';
import { cleanedEnv, prefectEnv } from '../../src/process/local/clean-env.js';
import { makeProgress } from '../../src/process/local/progress.js';
import { ensurePythonEnv } from '../../src/process/local/python-env.js';
import { freePort } from '../../src/process/local-stack.js';
import { GRAPH_NODES } from './graph-limit.js';
import { findPostgres, Postgres } from './postgres.js';

const root = new URL('../..', import.meta.url).pathname;

/** Starts the real Prefect server of a project (`prefect 3.8.8 postgres`), with a database of its own, for its tests. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const [, version = '', database] = project.name.split(' ');
  const postgres = database === 'postgres' ? await startPostgres() : undefined;
  const server = await startRealServer(version, postgres?.createDatabase());
  project.provide('orchestratorUrl', server.apiUrl);
  return async () => {
    await server.stop();
    postgres?.stop();
  };
}

function startPostgres(): Promise<Postgres> {
  const programs = findPostgres();
  if (programs === undefined) throw new Error('PostgreSQL is not installed');
  return Postgres.start(programs);
}

export interface RealServer {
  apiUrl: string;
  stop: () => Promise<void>;
}

/**
 * @param database address of an empty database; SQLite without it
 * @throws Error with the server's last lines where it does not come up
 */
export async function startRealServer(version: string, database?: string): Promise<RealServer> {
  const say = (line: string) => process.stdout.write(`[prefect ${version}] ${line}\n`);
  const local = join(root, '.local', `prefect-${version}`);
  const env = cleanedEnv(process.env, local);
  const python = await ensurePythonEnv({
    local,
    lockFile: join(root, 'flows', `requirements-${version}.lock`),
    env,
    progress: makeProgress(say),
  });
  const home = await mkdtemp(join(tmpdir(), 'prefect-proxy-live-'));
  const port = await freePort(4300);
  const apiUrl = `http://127.0.0.1:${port}/api`;
  const logFile = join(home, 'server.log');
  const child = await startChild(
    'server',
    join(python, 'bin', 'prefect'),
    ['server', 'start', '--host', '127.0.0.1', '--port', String(port)],
    {
      env: {
        ...prefectEnv(env, { home, apiUrl, bin: join(python, 'bin') }),
        PREFECT_SERVER_FLOW_RUN_GRAPH_MAX_NODES: String(GRAPH_NODES),
        ...(database !== undefined && { PREFECT_SERVER_DATABASE_CONNECTION_URL: database }),
      },
      cwd: home,
      logFile,
    },
  );
  const kill = () => {
    if (!child.hasEnded()) process.kill(-child.pid, 'SIGKILL');
  };
  // Ctrl-C ends the tests without their teardown.
  process.once('exit', kill);
  const stop = async () => {
    process.off('exit', kill);
    kill();
    await child.ended;
    await rm(home, { recursive: true, force: true });
  };
  for (let waited = 0; !(await isHealthy(apiUrl)); waited += 1) {
    if (child.hasEnded() || waited > 600) {
      const lines = lastLines(logFile).join('\n');
      await stop();
      throw new Error(`Prefect ${version} did not start:\n${lines}`);
    }
    await sleep(100);
  }
  return { apiUrl, stop };
}

async function isHealthy(apiUrl: string): Promise<boolean> {
  return fetch(`${apiUrl}/health`).then(
    (reply) => reply.ok,
    () => false,
  );
}
