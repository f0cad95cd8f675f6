import { setTimeout as sleep } from 'node:timers/promises';
import { signalAll, stackProcesses, type ProcessInfo } from './processes.js';

export interface Part {
  pid: number;
  started: string;
}
export interface Parts {
  server?: Part | undefined;
  worker?: Part | undefined;
}

/** Together below 8 s. Runs get most: they end the commands that they started and report their end to the server. */
export const GRACE = { runs: 3800, worker: 1000, rest: 300, server: 2000, kill: 300 };

/**
 * Ends all processes of the stack and returns how many there were.
 *
 * The order counts. A worker that is told to stop kills its runs at once, and they stay RUNNING at the server for ever.
 * So the runs are told first, and report themselves as crashed; then the worker; then what their commands left
 * behind; the server last, because all of them talk to it.
 */
export async function endStack(local: string, parts: Parts, grace = GRACE): Promise<number> {
  const { server, worker } = parts;
  // Once seen, a process stays known: when its parent is gone it can't be found by descent.
  const known = new Map<number, string>();
  for (const part of [server, worker]) if (part) known.set(part.pid, part.started);
  const seen = new Set<number>();
  const told = new Set<number>();

  const alive = (which: (info: ProcessInfo) => boolean): ProcessInfo[] => {
    const now = stackProcesses(local, known);
    for (const { pid, started } of now) {
      known.set(pid, started);
      seen.add(pid);
    }
    return now.filter(which);
  };
  const terminate = async (which: (info: ProcessInfo) => boolean, ms: number): Promise<void> => {
    const until = Date.now() + ms;
    for (let left = alive(which); left.length > 0; left = alive(which)) {
      const fresh = left.filter(({ pid }) => !told.has(pid));
      signalAll(fresh, 'SIGTERM');
      for (const { pid } of fresh) told.add(pid);
      if (Date.now() >= until) return;
      await sleep(40);
    }
  };
  const kill = async (which: (info: ProcessInfo) => boolean): Promise<void> => {
    const until = Date.now() + grace.kill;
    for (let left = alive(which); left.length > 0; left = alive(which)) {
      signalAll(left, 'SIGKILL');
      if (Date.now() >= until) return;
      await sleep(10);
    }
  };

  const isRun = ({ ppid, args }: ProcessInfo) => ppid === worker?.pid || args.includes('-m prefect.engine');
  const isNotServer = ({ pid }: ProcessInfo) => pid !== server?.pid;
  await terminate(isRun, grace.runs);
  await terminate(({ pid }) => pid === worker?.pid, grace.worker);
  await terminate(isNotServer, grace.rest);
  await kill(isNotServer);
  await terminate(() => true, grace.server);
  await kill(() => true);
  return seen.size;
}

/** The same at once and with no grace, for the moment in which Node ends anyway. */
export function killStackNow(local: string, parts: Parts): void {
  const known = new Map<number, string>();
  for (const part of [parts.server, parts.worker]) if (part) known.set(part.pid, part.started);
  signalAll(stackProcesses(local, known), 'SIGKILL');
}
