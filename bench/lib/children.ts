import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Child {
  name: string;
  pid: number;
  logFile: string;
  hasEnded(): boolean;
}

export interface ChildOptions {
  cwd: string;
  env?: Record<string, string>;
  /** Gets both streams. */
  logFile: string;
}

const GRACE_MS = 5_000;

/** The processes of a run. Each is a group of its own: Ctrl-C reaches the bench only, which ends them by pid. */
export class Children {
  private readonly running = new Set<Child>();

  /** @param directory is removed when the bench ends, however it ends */
  constructor(readonly directory: string) {
    process.once('exit', () => {
      for (const child of this.running) signal(child, 'SIGKILL');
      rmSync(directory, { recursive: true, force: true });
    });
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(name, () => process.exit(130));
  }

  async start(name: string, command: string, args: string[], options: ChildOptions): Promise<Child> {
    const { cwd, env, logFile } = options;
    const log = openSync(logFile, 'a');
    // Nothing of the user's environment but where things are: NODE_OPTIONS or PREFECT_* would change what is measured.
    const own = { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '', ...env };
    const spawned = spawn(command, args, { cwd, env: own, detached: true, stdio: ['ignore', log, log] });
    closeSync(log);
    await new Promise((resolve, reject) => spawned.once('spawn', resolve).once('error', reject));
    const hasEnded = () => spawned.exitCode !== null || spawned.signalCode !== null;
    const child = { name, pid: spawned.pid ?? 0, logFile, hasEnded };
    this.running.add(child);
    return child;
  }

  async end(child: Child): Promise<void> {
    signal(child, 'SIGTERM');
    await waitFor(() => child.hasEnded(), GRACE_MS);
    // Whether it ended or not: a server may have left a child of its own in the group.
    signal(child, 'SIGKILL');
    this.running.delete(child);
  }

  async endAll(): Promise<void> {
    await Promise.all([...this.running].map((child) => this.end(child)));
  }
}

/** Waits until `isReady`; fails with the end of the child's log where it dies first, or is too slow. */
export async function ready(
  child: Child,
  isReady: () => Promise<boolean> | boolean,
  { withinMs = 60_000, everyMs = 20 } = {},
): Promise<void> {
  const isOver = async () => (await isReady()) || child.hasEnded();
  const isInTime = await waitFor(isOver, withinMs, everyMs);
  if (isInTime && (await isReady())) return;
  const how = child.hasEnded() ? 'ended before it was ready' : `was not ready within ${withinMs / 1000} s`;
  const log = readFileSync(child.logFile, 'utf8').trimEnd().split('\n').slice(-15).join('\n');
  throw new Error(`${child.name} ${how}. Its log:\n${log}`);
}

/** @returns whether it came true in time */
export async function waitFor(
  isTrue: () => Promise<boolean> | boolean,
  withinMs: number,
  everyMs = 20,
): Promise<boolean> {
  const until = Date.now() + withinMs;
  while (!(await isTrue())) {
    if (Date.now() > until) return false;
    await sleep(everyMs);
  }
  return true;
}

function signal({ pid }: Child, name: NodeJS.Signals): void {
  try {
    process.kill(-pid, name);
  } catch {
    // The group is gone already.
  }
}
