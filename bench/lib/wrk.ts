import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { waitFor, type Children } from './children.js';

export interface LoadOptions {
  seconds: number;
  connections: number;
  /** Which runs are polled: another one with each request, or the same one by all connections. */
  runs: 'distinct' | 'same';
}

export interface Load {
  requests: number;
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
}

/** What poll.lua writes at the end; times in microseconds. */
interface Summary {
  requests: number;
  duration: number;
  p50: number;
  p99: number;
  failed: number;
}

const script = fileURLToPath(new URL('poll.lua', import.meta.url));

/** @throws Error where wrk is not installed, saying how to */
export function requireWrk(): void {
  if (!spawnSync('wrk', ['-v']).error) return;
  throw new Error('wrk is missing. Debian, Ubuntu: sudo apt-get install wrk. macOS: brew install wrk.');
}

/**
 * Puts load on a server that has the facade's poll route.
 * @throws Error where a request failed: a fast error is no result
 */
export async function putLoad(children: Children, baseUrl: string, options: LoadOptions): Promise<Load> {
  const { seconds, connections, runs } = options;
  const logFile = join(children.directory, 'wrk.log');
  rmSync(logFile, { force: true });
  const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '--latency', '-s', script, baseUrl, '--', runs];
  const wrk = await children.start('wrk', 'wrk', args, { cwd: children.directory, logFile });
  await waitFor(() => wrk.hasEnded(), (seconds + 15) * 1000);
  await children.end(wrk);
  const said = readFileSync(logFile, 'utf8');
  const line = /^summary (.*)$/m.exec(said)?.[1];
  if (line === undefined) throw new Error(`wrk told no result:\n${said}`);
  const { requests, duration, p50, p99, failed } = JSON.parse(line) as Summary;
  if (failed > 0 || requests === 0) throw new Error(`${failed} of ${requests} requests failed:\n${said}`);
  return { requests, perSecond: (requests / duration) * 1e6, p50Ms: p50 / 1000, p99Ms: p99 / 1000 };
}
