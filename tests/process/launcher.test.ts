import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { tempDir } from './fixtures.js';

const project = fileURLToPath(new URL('../..', import.meta.url));

/** A fresh clone after `npm ci`, with a program of one line. */
function clone({ tools = true } = {}): string {
  const root = tempDir();
  for (const name of ['bin', 'package.json'])
    cpSync(join(project, name), join(root, name), { recursive: true });
  mkdirSync(join(root, 'src'));
  writeProgram(root, 'first');
  if (tools) symlinkSync(join(project, 'node_modules'), join(root, 'node_modules'));
  return root;
}

function writeProgram(root: string, text: string): void {
  const file = join(root, 'src', 'cli.ts');
  writeFileSync(file, `const text: string = '${text}';\nconsole.log(text, ...process.argv.slice(2));\n`);
  // Newer than any build, whatever the clock's resolution is.
  const soon = Date.now() / 1000 + 5;
  utimesSync(file, soon, soon);
}

/** Without the tools of this project, which the test runner adds. */
const PATH = (process.env['PATH'] ?? '')
  .split(':')
  .filter((folder) => !folder.includes('node_modules'))
  .join(':');

function run(root: string, ...args: string[]) {
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    [join(root, 'bin', 'prefect-proxy.js'), ...args],
    {
      cwd: root,
      env: { PATH },
      encoding: 'utf8',
    },
  );
  return { stdout, stderr, status };
}

describe('The command prefect-proxy', () => {
  it('builds what it runs in a fresh clone, and again after a change', () => {
    const root = clone();
    expect(run(root, 'deliveries', 'list')).toEqual({
      stdout: 'first deliveries list\n',
      stderr: '',
      status: 0,
    });
    writeProgram(root, 'second');
    expect(run(root)).toEqual({ stdout: 'second\n', stderr: '', status: 0 });
  });

  it('runs the build of an installation that has no sources', () => {
    const root = clone();
    run(root);
    for (const name of ['src', 'node_modules']) rmSync(join(root, name), { recursive: true });
    expect(run(root)).toEqual({ stdout: 'first\n', stderr: '', status: 0 });
  });

  it('runs the last build, and says so, if it cannot build', () => {
    const root = clone();
    run(root);
    rmSync(join(root, 'node_modules'));
    writeProgram(root, 'second');
    expect(run(root)).toMatchObject({
      stdout: 'first\n',
      stderr: expect.stringContaining('could not be built') as string,
    });
  });

  it('says what to do if there is no build and none can be made', () => {
    expect(run(clone({ tools: false }))).toMatchObject({
      stdout: '',
      stderr: expect.stringContaining('run npm ci && npm run build') as string,
      status: 1,
    });
  });
});
