import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, renameSync } from 'node:fs';
import type { Part } from './end-stack.js';
import { startOf } from './processes.js';

export interface Child extends Part {
  name: string;
  logFile: string;
  /** Resolves with words for how it ended. */
  ended: Promise<string>;
  hasEnded(): boolean;
}

export interface ChildOptions {
  env: Record<string, string>;
  cwd: string;
  logFile: string;
}

/** Starts a long-running part with its own log file; the log of the start before is kept as `*.1`. */
export async function startChild(
  name: string,
  command: string,
  args: string[],
  options: ChildOptions,
): Promise<Child> {
  const { env, cwd, logFile } = options;
  if (existsSync(logFile)) renameSync(logFile, `${logFile}.1`);
  const log = openSync(logFile, 'a', 0o600);
  // A session of its own: Ctrl-C at the terminal must reach the facade only, which then ends the parts in order.
  const child = spawn(command, args, { env, cwd, detached: true, stdio: ['ignore', log, log] });
  closeSync(log);
  let over = false;
  const ended = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => {
      over = true;
      resolve(signal ? `was ended by ${signal}` : `ended with code ${code ?? 'unknown'}`);
    });
  });
  await new Promise((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  const pid = child.pid ?? 0;
  return { name, pid, started: startOf(pid) ?? '', logFile, ended, hasEnded: () => over };
}

/** The last lines of a log. */
export function lastLines(logFile: string, count = 20): string[] {
  try {
    const text = readFileSync(logFile, 'utf8').trimEnd();
    return text === '' ? [] : text.split('\n').slice(-count);
  } catch {
    return [];
  }
}
