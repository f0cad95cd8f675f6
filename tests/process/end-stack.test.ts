import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, onTestFinished, test } from 'vitest';
import { MARKER } from '../../src/process/local/clean-env.js';
import { endStack, GRACE, killStackNow } from '../../src/process/local/end-stack.js';
import { stackProcesses, startOf } from '../../src/process/local/processes.js';
import { tempDir } from './fixtures.js';

const linux = process.platform === 'linux';
const GRACES = { runs: 1000, worker: 500, rest: 200, server: 500, kill: 2000 };

/** Starts a shell script in a session of its own; resolves at its first line, with the lines that it wrote. */
async function start(local: string, body: string, env: Record<string, string> = { [MARKER]: local }) {
  const child = spawn('sh', ['-c', body], {
    env: { ...process.env, ...env },
    detached: true,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const pid = child.pid!;
  onTestFinished(() => {
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // As it should be.
    }
  });
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return { pid, started: startOf(pid)!, line };
}

const forEver = 'while :; do sleep 0.02; done';
const noting = (log: string, word: string) =>
  `trap 'echo ${word} >> ${log}; exit 0' TERM; echo up; ${forEver}`;

describe('ending the stack', () => {
  test('takes the runs first, then the worker, then the server', async () => {
    const local = tempDir();
    const log = join(local, 'order');
    const server = await start(local, noting(log, 'server'));
    // The worker's line is its run's: both are up then.
    const worker = await start(
      local,
      `trap 'echo worker >> ${log}; exit 0' TERM; (${noting(log, 'run')}) & ${forEver}`,
    );
    await endStack(local, { server, worker }, GRACES);
    expect(readFileSync(log, 'utf8').trim().split('\n')).toEqual(['run', 'worker', 'server']);
  });

  test('leaves nothing of a tree that will not hear, in sessions of their own', async () => {
    const local = tempDir();
    const deaf = `trap '' TERM; echo up; ${forEver}`;
    const detached = `require('child_process').spawn('sh',['-c',${JSON.stringify(deaf)}],{detached:true,stdio:'inherit'})`;
    const worker = await start(
      local,
      `trap '' TERM; "${process.execPath}" -e "${detached.replaceAll('"', '\\"')}; setInterval(()=>{},1e6)" & ${forEver}`,
    );
    expect(await endStack(local, { worker }, { ...GRACES, runs: 200, worker: 100 })).toBeGreaterThanOrEqual(
      3,
    );
    expect(stackProcesses(local, new Map([[worker.pid, worker.started]]))).toEqual([]);
  });

  test.runIf(linux)('finds what a dead worker left behind by its mark, and nobody else', async () => {
    const local = tempDir();
    const left = await start(local, `sleep 300 & echo $!; exit 0`);
    const other = await start(local, `echo up; ${forEver}`, { [MARKER]: `${local}2` });
    await endStack(local, {}, GRACES);
    expect(startOf(Number(left.line))).toBeUndefined();
    expect(startOf(other.pid)).toBe(other.started);
  });

  test('a pid of another start is not touched', async () => {
    const local = tempDir();
    const { pid, started } = await start(local, `echo up; ${forEver}`, {});
    expect(await endStack(local, { server: { pid, started: 'earlier' } }, GRACES)).toBe(0);
    expect(startOf(pid)).toBe(started);
  });

  test('at once: no grace', async () => {
    const local = tempDir();
    const server = await start(local, `trap '' TERM; echo up; ${forEver}`);
    killStackNow(local, { server });
    await expect.poll(() => startOf(server.pid), { interval: 5 }).toBeUndefined();
  });

  test('takes less than 8 s, whatever the parts do', () => {
    const { runs, worker, rest, server, kill } = GRACE;
    expect(runs + worker + rest + kill + server + kill).toBeLessThan(8000);
  });
});
