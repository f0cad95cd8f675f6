import { execFileSync, spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';

const folder = new URL('../../docker/worker/', import.meta.url).pathname;
const PRINT = 'import sys, start_server; print(start_server.database_url(sys.argv[1]), end="")';

const converted = (url: string) =>
  execFileSync('python3', ['-c', PRINT, url], { cwd: folder, encoding: 'utf8' });

test.each([
  ['postgresql://u:p@db:5432/prefect', 'postgresql+asyncpg://u:p@db:5432/prefect'],
  ['postgres://u:p%40@db/prefect', 'postgresql+asyncpg://u:p%40@db/prefect'],
  ['postgresql+psycopg2://u:p@db/prefect?sslmode=require', 'postgresql+asyncpg://u:p@db/prefect?ssl=require'],
  ['postgresql+asyncpg://u:p@[::1]:5432/prefect', 'postgresql+asyncpg://u:p@[::1]:5432/prefect'],
])('%s is understood', (given, expected) => {
  expect(converted(given)).toBe(expected);
});

test.each([
  '',
  'mysql://u:hunter2@db/prefect',
  'postgresql://u:hunter2@db',
  'hunter2',
  'postgresql://u:hunter2@[db/prefect',
])('"%s" stops the start with words, without the address', (url) => {
  const { status, stderr } = spawnSync('python3', ['start_server.py'], {
    cwd: folder,
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], DB_CONNECTION_URL: url },
  });
  expect(status).toBe(1);
  expect(stderr).toMatch(/^DB_CONNECTION_URL [^\n]+\n$/);
  expect(stderr).not.toContain('hunter2');
});
