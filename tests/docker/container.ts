import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, lstatSync, mkdirSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { rebase, type Image } from './image.js';

const run = promisify(execFile);

/** Takes from root what a container does not have: without CAP_DAC_OVERRIDE a file's permissions count for it, too. */
const WITHOUT_RIGHTS = ['setpriv', '--no-new-privs', '--bounding-set=-all', '--inh-caps=-all'];

export interface ContainerOptions {
  image: Image;
  env: Record<string, string>;
  /** The image's own by default. */
  command?: string[] | undefined;
}

/** The process of an image: with its environment and nothing of ours, and with no right to write to its files. */
export class Container {
  output = '';
  /** Its exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
  private readonly child: ChildProcess;

  constructor(private readonly options: ContainerOptions) {
    const { image, command = image.cmd } = options;
    const [program = '', ...args] = this.argv(command.map((word) => rebase(word, image.root)));
    // A group of its own, so that nothing of it is left at the end.
    const child = spawn(program, args, {
      cwd: image.workdir,
      env: this.env(),
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child = child;
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (part: Buffer) => (this.output += part.toString()));
    this.ended = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals);
  }

  /** Runs a health check as the container would. */
  async isHealthy(check: string[]): Promise<boolean> {
    const [program = '', ...args] = this.argv(check.map((word) => rebase(word, this.options.image.root)));
    return run(program, args, { cwd: this.options.image.workdir, env: this.env(), timeout: 10_000 }).then(
      () => true,
      () => false,
    );
  }

  /** Waits for something that it does. @throws Error with its output where it ends before, or after the time given */
  async until(what: string, isTrue: () => Promise<boolean> | boolean, seconds = 180): Promise<void> {
    const until = Date.now() + seconds * 1000;
    while (!(await isTrue())) {
      const over = this.child.exitCode !== null || this.child.signalCode !== null;
      if (over || Date.now() > until) {
        throw new Error(`${over ? 'it ended' : `${seconds} s passed`} before: ${what}\n${this.output}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** As `docker stop` does. @returns its exit code */
  async stop(): Promise<number | NodeJS.Signals> {
    this.child.kill('SIGTERM');
    return this.ended;
  }

  /** Ends what is left of it by force. */
  async remove(): Promise<void> {
    try {
      process.kill(-(this.child.pid ?? 0), 'SIGKILL');
    } catch {
      // Nothing is left.
    }
    await this.ended;
  }

  private argv(words: string[]): string[] {
    return process.getuid?.() === 0 ? [...WITHOUT_RIGHTS, ...words] : words;
  }

  private env(): Record<string, string> {
    const { image, env } = this.options;
    const own = { ...image.env, ...env };
    // The base image's programs are those of this machine.
    const path = [image.env['PATH'], dirname(process.execPath), process.env['PATH']]
      .filter(Boolean)
      .join(':');
    return { ...own, PATH: path, TMPDIR: join(image.root, 'tmp') };
  }
}

/** Makes all of an image read-only but the folders that the compose file mounts there. */
export function protect(image: Image, writable: string[]): void {
  const open = new Set(writable.map((path) => join(image.root, path)));
  for (const folder of open) {
    mkdirSync(folder, { recursive: true });
    // Whoever runs it here.
    chmodSync(folder, 0o777);
  }
  const walk = (path: string) => {
    const info = lstatSync(path);
    if (info.isSymbolicLink() || open.has(path)) return;
    chmodSync(path, info.mode & 0o555);
    if (info.isDirectory()) for (const name of readdirSync(path)) walk(join(path, name));
  };
  walk(image.root);
}

/** Makes it removable again. */
export function unprotect(folder: string): void {
  const info = lstatSync(folder);
  if (!info.isDirectory()) return;
  chmodSync(folder, 0o755);
  for (const name of readdirSync(folder)) unprotect(join(folder, name));
}
