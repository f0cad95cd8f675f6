import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'dotenv';
import { expect, onTestFinished, test } from 'vitest';
import { loadConfig } from '../../src/config.js';

const docker = new URL('../../docker/', import.meta.url).pathname;

function makeEnv(...args: string[]) {
  return spawnSync('sh', [join(docker, 'make-env'), ...args], { encoding: 'utf8' });
}

function place(): string {
  const folder = mkdtempSync(join(tmpdir(), 'prefect-proxy-env-'));
  onTestFinished(() => {
    rmSync(folder, { recursive: true });
  });
  return join(folder, '.env');
}

test('fills the keys into a file of the owner only, and names it and nothing else', () => {
  const file = place();
  const { status, stdout, stderr } = makeEnv(file);
  expect([status, stdout, stderr]).toEqual([0, '', `make-env: wrote ${file}\n`]);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const env = parse(readFileSync(file));
  expect(env).toEqual({
    PROXY_API_KEY: expect.stringMatching(/^[0-9a-f]{48}$/) as string,
    PREFECT_API_AUTH_STRING: expect.stringMatching(/^admin:[0-9a-f]{48}$/) as string,
    PREFECT_NOTIFICATIONS_WEBHOOK_KEY: expect.stringMatching(/^[0-9a-f]{48}$/) as string,
    HOST_WEBHOOK_SECRET: expect.stringMatching(/^whsec_[0-9a-f]{48}$/) as string,
    POSTGRES_PASSWORD: expect.stringMatching(/^[0-9a-f]{48}$/) as string,
    DB_CONNECTION_URL: '',
  });
  expect(new Set(Object.values(env)).size).toBe(6);
  // All of it is a configuration that the facade takes.
  expect(() => loadConfig({ ...env, PREFECT_PROXY_API_HOST: '0.0.0.0' })).not.toThrow();
});

test('leaves a file that is there as it is, unless it is forced', () => {
  const file = place();
  makeEnv(file);
  const before = readFileSync(file, 'utf8');
  const again = makeEnv(file);
  expect(again.status).toBe(1);
  expect(again.stderr).toContain('is there already');
  expect(readFileSync(file, 'utf8')).toBe(before);
  expect(makeEnv('--force', file).status).toBe(0);
  expect(readFileSync(file, 'utf8')).not.toBe(before);
});

test('says so where it cannot write', () => {
  const { status, stderr } = makeEnv(join(place(), 'nowhere', '.env'));
  expect(status).not.toBe(0);
  expect(stderr).not.toBe('');
});
