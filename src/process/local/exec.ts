import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface ExecResult {
  code: number;
  lines: string[];
}

export interface ExecOptions {
  env: Record<string, string>;
  signal?: AbortSignal | undefined;
  timeoutMs?: number;
  onLine?: (line: string) => void;
}

/** Runs a command to its end and returns what it wrote, both streams together. A missing command has the code 127. */
export async function exec(command: string, args: string[], options: ExecOptions): Promise<ExecResult> {
  options.signal?.throwIfAborted();
  const child = spawn(command, args, {
    env: options.env,
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own: Ctrl-C at the terminal reaches us only, and the whole group can be ended.
    detached: true,
  });
  const end = () => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It ended just now.
    }
  };
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line);
      options.onLine?.(line);
    });
  }
  options.signal?.addEventListener('abort', end, { once: true });
  const timer = options.timeoutMs === undefined ? undefined : setTimeout(end, options.timeoutMs);
  const code = await new Promise<number>((resolve) => {
    child.once('error', (error) => {
      lines.push(error.message);
      resolve(127);
    });
    child.once('close', (status) => {
      resolve(status ?? 1);
    });
  });
  clearTimeout(timer);
  options.signal?.removeEventListener('abort', end);
  options.signal?.throwIfAborted();
  return { code, lines };
}
