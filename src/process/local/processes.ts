import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { MARKER } from './clean-env.js';

export interface ProcessInfo {
  pid: number;
  ppid: number;
  /** With the pid, this names a process for good: pids are used again. */
  started: string;
  args: string;
}

/** All processes of the machine, without those that are dead and not yet collected by their parent. */
export function listProcesses(): ProcessInfo[] {
  return process.platform === 'linux' ? fromProc() : fromPs();
}

/** What tells this process from a later one of the same pid; undefined where no process has it. */
export function startOf(pid: number): string | undefined {
  if (process.platform === 'linux') return readStat(pid)?.started;
  return fromPs().find((info) => info.pid === pid)?.started;
}

/**
 * The processes of the stack under `local`: the `known` ones (start by pid), those that carry our marker in their
 * environment (so also what a dead worker left behind; Linux only), and all their descendants.
 */
export function stackProcesses(local: string, known: ReadonlyMap<number, string>): ProcessInfo[] {
  const all = listProcesses();
  const found = new Set<number>();
  for (const { pid, started } of all) {
    if (pid !== process.pid && (known.get(pid) === started || isMarked(pid, local))) found.add(pid);
  }
  // Children come after their parents in no order that can be relied on.
  for (let before = -1; before !== found.size;) {
    before = found.size;
    for (const { pid, ppid } of all) if (found.has(ppid)) found.add(pid);
  }
  return all.filter(({ pid }) => found.has(pid));
}

/** Sends a signal to each; those that ended meanwhile are no error. */
export function signalAll(processes: readonly Pick<ProcessInfo, 'pid'>[], signal: NodeJS.Signals): void {
  for (const { pid } of processes) {
    try {
      process.kill(pid, signal);
    } catch {
      // Gone, or no longer ours to signal.
    }
  }
}

function isMarked(pid: number, local: string): boolean {
  if (process.platform !== 'linux') return false;
  return readText(`/proc/${pid}/environ`).split('\0').includes(`${MARKER}=${local}`);
}

function fromProc(): ProcessInfo[] {
  const infos: ProcessInfo[] = [];
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    const stat = Number.isInteger(pid) ? readStat(pid) : undefined;
    if (!stat) continue;
    infos.push({ pid, ...stat, args: readText(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim() });
  }
  return infos;
}

function readStat(pid: number): { ppid: number; started: string } | undefined {
  const text = readText(`/proc/${pid}/stat`);
  // The second field is the name, which may hold blanks and parentheses.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state, ppid, started] = [fields[0], fields[1], fields[19]];
  if (started === undefined || state === 'Z' || state === 'X') return undefined;
  return { ppid: Number(ppid), started };
}

function fromPs(): ProcessInfo[] {
  const columns = 'pid=,ppid=,stat=,lstart=,command=';
  const text = execFileSync('ps', ['-A', '-ww', '-o', columns], {
    encoding: 'utf8',
    maxBuffer: 1e8,
    env: { LC_ALL: 'C', PATH: '/bin:/usr/bin' },
  });
  return text.split('\n').flatMap((line) => {
    const [, pid, ppid, state = '', started = '', args = ''] =
      /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(\S+\s+\S+\s+\d+\s+\S+\s+\d+)\s+(.*)$/.exec(line) ?? [];
    if (pid === undefined || state.startsWith('Z')) return [];
    return [{ pid: Number(pid), ppid: Number(ppid), started, args }];
  });
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
