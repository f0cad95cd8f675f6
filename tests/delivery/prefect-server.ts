import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { ready, waitFor, type Child, type Children } from '../../bench/lib/children.js';
import { freePort, isOk, root } from '../../bench/lib/servers.js';
import { cleanedEnv } from '../../src/process/local/clean-env.js';
import { makeProgress } from '../../src/process/local/progress.js';
import { ensurePythonEnv } from '../../src/process/local/python-env.js';

/** The locked environment of a Prefect version, made where it is not there yet. @returns its folder */
export function ensurePrefect(version: string, say: (line: string) => void): Promise<string> {
  const local = join(root, '.local', `prefect-${version}`);
  return ensurePythonEnv({
    local,
    lockFile: join(root, 'flows', `requirements-${version}.lock`),
    env: cleanedEnv(process.env, local),
    progress: makeProgress(say),
  });
}

export interface PrefectOptions {
  children: Children;
  /** The folder of its Python environment. */
  python: string;
  /** Sets its folders apart. */
  name: string;
  logFile: string;
  /** The address of its database; SQLite without it. */
  database: string | undefined;
}

/** A real Prefect server with a database of its own, which can be killed and started again on the same address. */
export class PrefectServer {
  private child: Child | undefined;
  /** Else the server makes one with its first secret: of two that come at once, one is refused (409). */
  private readonly encryptionKey = `${randomBytes(32).toString('base64url')}=`;

  private constructor(
    private readonly options: PrefectOptions,
    private readonly home: string,
    private readonly port: number,
  ) {}

  static async start(options: PrefectOptions): Promise<PrefectServer> {
    const home = join(options.children.directory, options.name);
    mkdirSync(home);
    const server = new PrefectServer(options, home, await freePort());
    await server.start();
    return server;
  }

  get apiUrl(): string {
    return `http://127.0.0.1:${this.port}/api`;
  }

  /** @param settings more of Prefect's settings */
  async start(settings: Record<string, string> = {}): Promise<void> {
    const { children, python, logFile, database } = this.options;
    const bin = join(python, 'bin');
    const env = {
      PATH: `${bin}:${process.env['PATH'] ?? ''}`,
      PREFECT_HOME: this.home,
      PREFECT_API_URL: this.apiUrl,
      PREFECT_SERVER_ANALYTICS_ENABLED: 'false',
      PREFECT_SERVER_ENCRYPTION_KEY: this.encryptionKey,
      ...(database !== undefined && { PREFECT_API_DATABASE_CONNECTION_URL: database }),
      ...settings,
    };
    const args = [
      join(bin, 'prefect'),
      'server',
      'start',
      '--host',
      '127.0.0.1',
      '--port',
      String(this.port),
    ];
    this.child = await children.start('prefect', join(bin, 'python'), args, { cwd: this.home, env, logFile });
    await ready(this.child, () => isOk(`${this.apiUrl}/health`), { everyMs: 100, withinMs: 120_000 });
  }

  /** Kills it and all of its processes at once. */
  async kill(): Promise<void> {
    if (this.child) await killNow(this.child);
  }
}

/** SIGKILL for a process and its children; resolves when it is gone. */
export async function killNow(child: Child): Promise<void> {
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It is gone already.
  }
  await waitFor(() => child.hasEnded(), 10_000, 2);
}
