import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Builds a program as `npm run build` does. @returns its file, and what removes it */
export async function buildProgram(
  entry = 'src/cli.ts',
): Promise<{ file: string; remove: () => Promise<void> }> {
  // Below the project, so that it finds the packages.
  const outdir = await mkdtemp(join(root, 'node_modules', '.test-build-'));
  const remove = () => rm(outdir, { recursive: true });
  await build({
    entryPoints: { main: join(root, entry) },
    outdir,
    bundle: true,
    splitting: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'warning',
  }).catch(async (error: unknown) => {
    await remove();
    throw error;
  });
  return { file: join(outdir, 'main.js'), remove };
}

export interface Line {
  message: string;
  pid?: number;
  [field: string]: unknown;
}

export interface ProgramOptions {
  file: string;
  args?: string[];
  cwd: string;
  env: Record<string, string | undefined>;
  /** What it writes to in place of a pipe that is read: a file that is open. */
  stdout?: number;
  /** How many files each process may have open. */
  openFiles?: number;
  /** Nothing of what it writes is read before `readOutput` is called. */
  isUnread?: boolean;
}

/** Calls the orchestrator for nobody but its hosts, and ends at once. */
const ALONE = { WEBHOOK_AUTO_REGISTER: 'false', RECONCILE_INTERVAL: '0', DRAIN_DELAY: '0' };

/** The facade as an operator starts it; its log lines tell what happens. */
export class Program {
  readonly lines: Line[] = [];
  /** What it wrote to stdout, as it was. */
  output = '';
  /** What it wrote to stderr. */
  complaints = '';
  /** Exit code and signal, once every process of it is gone. */
  readonly closed: Promise<unknown[]>;
  private readonly child: ChildProcess;
  private readonly waiting = new Set<() => void>();

  constructor({ file, args = [], cwd, env, stdout, openFiles, isUnread = false }: ProgramOptions) {
    const limited = ['-c', `ulimit -n ${openFiles ?? ''}; exec "$0" "$@"`, process.execPath];
    const [command, before] = openFiles === undefined ? [process.execPath, []] : ['sh', limited];
    const child = spawn(command, [...before, file, ...args], {
      cwd,
      env: { PATH: process.env['PATH'], PREFECT_PROXY_API_PORT: '0', ...ALONE, ...env },
      stdio: ['ignore', stdout ?? 'pipe', 'pipe'],
    });
    this.child = child;
    this.closed = once(child, 'close');
    if (!isUnread) this.readOutput();
    child.stderr?.on('data', (part: Buffer) => (this.complaints += part.toString()));
  }

  /** Reads its log lines, from now on. */
  readOutput(): void {
    if (!this.child.stdout) return;
    this.child.stdout.on('data', (part: Buffer) => (this.output += part.toString()));
    createInterface({ input: this.child.stdout }).on('line', (line) => {
      this.lines.push(JSON.parse(line) as Line);
      for (const check of this.waiting) check();
    });
  }

  /** Ends the reading end of one of its pipes. */
  closePipe(name: 'stdout' | 'stderr'): void {
    this.child[name]?.destroy();
  }

  get pid(): number {
    return this.child.pid!;
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** The lines of this message, once there are so many. @throws Error where it ends before */
  async logged(message: string, count = 1): Promise<Line[]> {
    return new Promise((resolve, reject) => {
      const check = () => {
        const found = this.lines.filter((line) => line.message === message);
        if (found.length < count) return;
        this.waiting.delete(check);
        resolve(found);
      };
      this.waiting.add(check);
      check();
      void this.closed.then(() => {
        reject(new Error(`ended without ${count} times "${message}": ${this.complaints}${this.log()}`));
      });
    });
  }

  /** Where it listens, once so many workers serve. */
  async serves(workers: number): Promise<string> {
    const [line] = await this.logged('listening');
    await this.logged('worker serves', workers);
    return String(line!['url']);
  }

  /** The pids of the workers that serve, the oldest first. */
  workers(): number[] {
    const pids = (...messages: string[]) =>
      this.lines.filter(({ message }) => messages.includes(message)).map(({ pid }) => pid!);
    const gone = pids('worker drains', 'worker died', 'worker ended');
    return pids('worker serves').filter((pid) => !gone.includes(pid));
  }

  /** Ends it by force where a test did not. */
  async end(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGKILL');
    await this.closed;
  }

  private log(): string {
    return this.lines.map((line) => JSON.stringify(line)).join('\n');
  }
}
