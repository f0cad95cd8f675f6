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
    readonly logFile: string,
  ) {}

  static async start(children: Children, env: Record<string, string>, logFile: string): Promise<Facade> {
    const facade = new Facade(children, await freePort(), env, logFile);
    await facade.start();
    return facade;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Resolves when it answers. */
  async start(): Promise<void> {
    const env = { ...this.env, PREFECT_PROXY_API_PORT: String(this.port), WEB_CONCURRENCY: '1' };
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

  /** In good order. */
  async stop(): Promise<void> {
    if (this.child) await this.children.end(this.child);
  }

  async restart(): Promise<void> {
    await this.kill();
    await this.start();
  }
}
