import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import type { Part, Parts } from './end-stack.js';
import { LocalStackError } from './errors.js';
import { localPaths } from './paths.js';
import { listProcesses, startOf } from './processes.js';

/** How the stack that runs in this project is reached. */
export interface RunningStack {
  /** The facade. */
  url: string;
  /** Prefect's API. */
  apiUrl: string;
  /** What the facade accepts as X-Notification-Key. */
  webhookKey: string;
}

/** `.local/run.json`: who runs here. Outlives a `kill -9`, so nothing in it is believed before it is checked. */
interface RunFile extends Parts, Partial<RunningStack> {
  facade: Part;
}

/** The file holds a key: only its owner reads it. */
const PRIVATE = { mode: 0o600 };

/**
 * Takes the project's `.local/` for this process. Throws where another facade runs there; returns what is left of one
 * that died, for the caller to end.
 */
export function claim(root: string): Parts {
  const { local, runFile } = localPaths(root);
  mkdirSync(local, { recursive: true });
  const mine: RunFile = { facade: { pid: process.pid, started: startOf(process.pid) ?? '' } };
  const draft = `${runFile}.${process.pid}`;
  writeFileSync(draft, JSON.stringify(mine), PRIVATE);
  try {
    let left: Parts = {};
    for (let attempt = 1; ; attempt += 1) {
      try {
        // A link is made whole or not at all, and by one of two that try at once.
        linkSync(draft, runFile);
        return left;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || attempt > 3) throw error;
      }
      const other = read(root);
      if (other && isAlive(other.facade)) throw new LocalStackError(alreadyRunning(other));
      left = verified(local, other);
      rmSync(runFile, { force: true });
    }
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Notes the server and the worker as they start. */
export function recordParts(root: string, parts: Parts): void {
  const pick = (part: Part | undefined) => part && { pid: part.pid, started: part.started };
  update(root, { server: pick(parts.server), worker: pick(parts.worker) });
}

/** Records how the stack is reached, for commands and for a second start. Does nothing unless this process runs it. */
export function recordRunning(root: string, stack: RunningStack): void {
  update(root, stack);
}

/**
 * How the stack that runs in this project is reached.
 * @returns undefined if none runs; `starting` if one is not up yet
 */
export function findRunning(root: string): RunningStack | 'starting' | undefined {
  const state = read(root);
  if (!state || !isAlive(state.facade)) return undefined;
  const { url, apiUrl, webhookKey } = state;
  const isUp = url !== undefined && apiUrl !== undefined && webhookKey !== undefined;
  return isUp ? { url, apiUrl, webhookKey } : 'starting';
}

/** Gives `.local/` back. */
export function release(root: string): void {
  if (read(root)?.facade.pid === process.pid) rmSync(localPaths(root).runFile, { force: true });
}

function update(root: string, more: Partial<RunFile>): void {
  const { runFile } = localPaths(root);
  const state = read(root);
  if (state?.facade.pid !== process.pid) return;
  writeFileSync(`${runFile}.new`, JSON.stringify({ ...state, ...more }), PRIVATE);
  renameSync(`${runFile}.new`, runFile);
}

function read(root: string): RunFile | undefined {
  try {
    const state = JSON.parse(readFileSync(localPaths(root).runFile, 'utf8')) as Partial<RunFile>;
    return typeof state.facade?.pid === 'number' ? (state as RunFile) : undefined;
  } catch {
    return undefined;
  }
}

const isAlive = ({ pid, started }: Part) => startOf(pid) === started;

/** The recorded parts that are alive, the same processes still, and run from our `.local/`. */
function verified(local: string, state: RunFile | undefined): Parts {
  const all = listProcesses();
  const check = (part: Part | undefined) =>
    part && all.some((p) => p.pid === part.pid && p.started === part.started && p.args.includes(`${local}/`))
      ? part
      : undefined;
  return { server: check(state?.server), worker: check(state?.worker) };
}

function alreadyRunning({ url, facade }: RunFile): string {
  return url === undefined
    ? `Another start is under way in this directory (process ${facade.pid}).`
    : `It runs already in this directory: ${url} (process ${facade.pid}). Stop that one first.`;
}
