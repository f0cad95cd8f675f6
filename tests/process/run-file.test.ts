import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startOf } from '../../src/process/local/processes.js';
import { claim, findRunning, recordParts, recordRunning, release } from '../../src/process/local/run-file.js';
import { script, tempDir } from './fixtures.js';

const fileOf = (root: string) => join(root, '.local', 'run.json');

function leave(root: string, content: unknown): void {
  mkdirSync(join(root, '.local'), { recursive: true });
  writeFileSync(fileOf(root), typeof content === 'string' ? content : JSON.stringify(content));
}

/** A process of which pid and start are known. */
async function alive(command = 'sleep', args = ['300']) {
  const child = spawn(command, args, { detached: true, stdio: 'ignore' });
  await once(child, 'spawn');
  const pid = child.pid!;
  onTestFinished(() => {
    process.kill(-pid, 'SIGKILL');
  });
  return { pid, started: startOf(pid)! };
}

const dead = { pid: 2 ** 22 + 1, started: '1' };
const stack = {
  url: 'http://127.0.0.1:8181',
  apiUrl: 'http://127.0.0.1:4207/api',
  webhookKey: 'a-key-of-this-start',
};

describe('the state file', () => {
  test('exists from claim to release and says how the stack is reached, to its owner only', () => {
    const root = tempDir();
    expect(findRunning(root)).toBeUndefined();
    expect(claim(root)).toEqual({});
    expect(findRunning(root)).toBe('starting');
    expect(statSync(fileOf(root)).mode & 0o777).toBe(0o600);
    recordRunning(root, stack);
    expect(findRunning(root)).toEqual(stack);
    expect(statSync(fileOf(root)).mode & 0o777).toBe(0o600);
    release(root);
    expect(existsSync(fileOf(root))).toBe(false);
    expect(findRunning(root)).toBeUndefined();
  });

  test('a second start is told which one runs', async () => {
    const root = tempDir();
    const facade = await alive();
    leave(root, { facade });
    expect(() => claim(root)).toThrow(/Another start is under way/);
    leave(root, { facade, url: 'http://127.0.0.1:8080' });
    expect(() => claim(root)).toThrow(`http://127.0.0.1:8080 (process ${facade.pid})`);
    release(root);
    recordRunning(root, stack);
    expect(findRunning(root), "another's file is left alone").toBe('starting');
  });

  test('what a dead facade left is returned, once it is known to be ours', async () => {
    const root = tempDir();
    const ours = script(join(root, '.local', 'python-0', 'bin', 'python'), 'while :; do sleep 1; done');
    const server = await alive(ours, []);
    const stranger = await alive();
    leave(root, { facade: dead, server, worker: stranger, ...stack });
    expect(findRunning(root)).toBeUndefined();
    expect(claim(root)).toEqual({ server, worker: undefined });
  });

  test('a pid that was used again is nobody of ours', async () => {
    const root = tempDir();
    const ours = script(join(root, '.local', 'python-0', 'bin', 'python'), 'while :; do sleep 1; done');
    const { pid } = await alive(ours, []);
    leave(root, { facade: { pid, started: 'long ago' }, server: { pid, started: 'long ago' } });
    expect(claim(root)).toEqual({});
  });

  test.each(['', '{"facade":', '[]', '{"facade":{}}'])('garbage (%s) is overwritten', (text) => {
    const root = tempDir();
    leave(root, text);
    expect(claim(root)).toEqual({});
    recordParts(root, { server: dead });
    expect(JSON.parse(readFileSync(fileOf(root), 'utf8'))).toMatchObject({
      facade: { pid: process.pid },
      server: dead,
    });
  });
});
