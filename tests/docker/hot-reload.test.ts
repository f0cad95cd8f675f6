import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, onTestFinished, test } from 'vitest';

const project = new URL('../..', import.meta.url).pathname;

test('with HOT_RELOAD the facade restarts when a source changes, and ends with SIGTERM', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'prefect-proxy-hot-'));
  for (const name of ['src', 'flows', 'package.json', 'tsconfig.json', 'docker/serve-dev.sh']) {
    cpSync(join(project, name), join(folder, name), { recursive: true });
  }
  symlinkSync(join(project, 'node_modules'), join(folder, 'node_modules'));
  const child = spawn('sh', ['docker/serve-dev.sh'], {
    cwd: folder,
    env: {
      PATH: process.env['PATH'],
      HOT_RELOAD: '1',
      PREFECT_API_URL: 'http://127.0.0.1:9/api',
      PREFECT_PROXY_API_PORT: '0',
      WEBHOOK_AUTO_REGISTER: 'false',
      RECONCILE_INTERVAL: '0',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  });
  const lines = createInterface({ input: child.stdout });
  const starts: string[] = [];
  const started = (count: number) =>
    new Promise<void>((resolve) => {
      lines.on('line', (line) => {
        if (line.includes('"message":"listening"') && !starts.includes(line)) starts.push(line);
        if (starts.length >= count) resolve();
      });
    });
  await started(1);
  appendFileSync(join(folder, 'src', 'http', 'router.ts'), '\n// changed\n');
  await started(2);
  child.kill('SIGTERM');
  expect(await once(child, 'exit')).toEqual([0, null]);
});
