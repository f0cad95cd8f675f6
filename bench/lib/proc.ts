import { readFileSync } from 'node:fs';

/** Linux counts CPU time in ticks of 10 ms (`getconf CLK_TCK` is 100 on every platform that Node runs on there). */
const TICK_MS = 10;

/** CPU time that a process and its descendants have used so far. */
export function cpuMs(pid: number): number {
  return sum(processes(pid), (each) => {
    // The name in brackets may hold blanks; utime and stime are the 12th and 13th field after it.
    const fields = read(`/proc/${each}/stat`)
      .replace(/^.*\) /s, '')
      .split(' ');
    return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * TICK_MS;
  });
}

/** Resident memory of a process and its descendants, or of it alone. */
export function rssMb(pid: number, withDescendants = true): number {
  return sum(
    withDescendants ? processes(pid) : [pid],
    (each) => Number(/^VmRSS:\s+(\d+)/m.exec(read(`/proc/${each}/status`))?.[1] ?? 0) / 1024,
  );
}

/** Looks at the memory of a process again and again; `stop` returns the most that was seen. */
export function watchRss(pid: number, everyMs = 100): { stop: () => number } {
  let most = rssMb(pid);
  const timer = setInterval(() => {
    most = Math.max(most, rssMb(pid));
  }, everyMs);
  return {
    stop: () => {
      clearInterval(timer);
      return Math.max(most, rssMb(pid));
    },
  };
}

/** A process and its descendants. */
export function processes(pid: number): number[] {
  const children = read(`/proc/${pid}/task/${pid}/children`).trim().split(' ').filter(Boolean).map(Number);
  return [pid, ...children.flatMap(processes)];
}

function sum(pids: number[], of: (pid: number) => number): number {
  return pids.reduce((total, pid) => total + of(pid), 0);
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
