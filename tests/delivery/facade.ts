import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ready, type Child, type Children } from '../../bench/lib/children.js';
import { freePort, isOk, root } from '../../bench/lib/servers.js';
import { killNow } from './prefect-server.js';

/** The built facade as a black box: configured by its environment, ended by SIGKILL. */
export class Facade {
  private child: Child | undefined;

  private constructor(
    private readonly children: Children,
    private readonly port: number,
    private readonly env: Record<string, string>,
    private readonly workers: number,
    readonly logFile: string,
  ) {}

  /** @param workers 1 is a single process */
  static async start(
    children: Children,
    env: Record<string, string>,
    workers: number,
    logFile: string,
  ): Promise<Facade> {
    const facade = new Facade(children, await freePort(), env, workers, logFile);
    await facade.start();
    return facade;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Resolves when it answers. */
  async start(): Promise<void> {
    const env = {
      ...this.env,
      PREFECT_PROXY_API_PORT: String(this.port),
      WEB_CONCURRENCY: String(this.workers),
    };
    // Not the project's root as the directory: a .env there is for the user's own facade.
    const cwd = this.children.directory;
    const args = [join(root, 'dist', 'cli.js'), 'serve'];
    this.child = await this.children.start('facade', process.execPath, args, {
      cwd,
      env,
      logFile: this.logFile,
    });
    await ready(this.child, () => isOk(`${this.url}/healthz`), { withinMs: 30_000 });
  }

  /** The signal is sent before this returns. */
  async kill(): Promise<void> {
    if (this.child) await killNow(this.child);
  }

  /** Kills one of the worker processes. @returns false where there is none at the moment */
  killWorker(): boolean {
    const { stdout } = spawnSync('pgrep', ['-P', String(this.child?.pid)], { encoding: 'utf8' });
    const pids = stdout.split('\n').filter(Boolean).map(Number);
    const chosen = pids[Math.floor(Math.random() * pids.length)];
    if (chosen === undefined) return false;
    process.kill(chosen, 'SIGKILL');
    return true;
  }

  /** In good order. */
  async stop(): Promise<void> {
    if (this.child) await this.children.end(this.child);
  }

  async restart(): Promise<void> {
    await this.kill();
    await this.start();
  }
}
