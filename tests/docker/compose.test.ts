import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Ajv } from 'ajv';
import { parse as parseDotenv } from 'dotenv';
import { describe, expect, onTestFinished, test } from 'vitest';
import { loadCompose, readYaml, variablesOf, type Service } from './compose.js';
import { readDockerfile } from './dockerfile.js';
import { composeSchema, hadolint, hasCompose } from './tools.js';

const run = promisify(execFile);
const project = new URL('../..', import.meta.url).pathname;
const docker = join(project, 'docker');
const FILES = ['docker-compose.yml', 'docker-compose.dev.yml'];
const KEYS = { PREFECT_API_AUTH_STRING: 'admin:key', POSTGRES_PASSWORD: 'password' };
const template = readFileSync(join(docker, '.env.template'), 'utf8');

const seconds = (text = '0s') => Number(text.replace(/s$/, ''));
const every = (file: string) => Object.entries(loadCompose(join(docker, file), KEYS));

describe.each(FILES)('%s', (file) => {
  const text = readFileSync(join(docker, file), 'utf8');

  test('is a compose file by the specification', async () => {
    // It names its schema with https, which no validator knows.
    const validate = new Ajv({ strict: false, validateSchema: false, validateFormats: false }).compile(
      await composeSchema(project),
    );
    expect(validate(readYaml(join(docker, file))), JSON.stringify(validate.errors)).toBe(true);
  });

  test('is what `docker compose` takes, where there is one', async ({ skip }) => {
    if (!(await hasCompose())) skip('no docker compose here');
    const folder = mkdtempSync(join(tmpdir(), 'prefect-proxy-compose-'));
    onTestFinished(() => {
      rmSync(folder, { recursive: true });
    });
    // Beside a .env, which it wants to be there.
    cpSync(docker, folder, { recursive: true });
    await run(join(folder, 'make-env'), ['--force']);
    await run('docker', ['compose', '-f', file, 'config', '--quiet'], { cwd: folder });
  });

  test('asks only for variables that .env.template lists, with the same defaults', () => {
    const listed = parseDotenv(template.replace(/^# ([A-Z][A-Z0-9_]*=)/gm, '$1'));
    for (const { name, default: fallback } of variablesOf(text)) {
      expect(listed, name).toHaveProperty(name);
      if (fallback !== undefined) expect([name, listed[name]]).toEqual([name, fallback]);
    }
  });

  test('does not start without the keys', () => {
    expect(() => loadCompose(join(docker, file), {})).toThrow('run docker/make-env first');
  });

  test('names versions, and services that are there', () => {
    const names = every(file).map(([name]) => name);
    for (const [, service] of every(file)) {
      expect(service.image).toMatch(/^[\w/-]+:(?!latest)[\w.-]+$/);
      for (const needed of Object.keys(service.depends_on)) expect(names).toContain(needed);
    }
  });

  test('gives containers no rights, no place to write but mounts, and time to end', () => {
    for (const [name, service] of every(file)) {
      const { read_only, cap_drop, security_opt, restart, stop_grace_period } = service;
      expect({ name, read_only, cap_drop, security_opt, restart }).toEqual({
        name,
        read_only: true,
        cap_drop: ['ALL'],
        security_opt: ['no-new-privileges:true'],
        restart: 'unless-stopped',
      });
      // GRACEFUL_TIMEOUT and WORKER_GRACEFUL_TIMEOUT are 30 s.
      expect(seconds(stop_grace_period)).toBeGreaterThanOrEqual(name === 'prefect-server' ? 30 : 40);
    }
  });

  test('publishes the facade and the UI, on loopback unless told otherwise', () => {
    const published = Object.fromEntries(every(file).map(([name, { ports }]) => [name, ports]));
    expect(published).toMatchObject({
      facade: ['127.0.0.1:4300:8080'],
      'prefect-server': ['127.0.0.1:8080:4200'],
      'worker-ddp': [],
      'worker-manual-dbt': [],
    });
  });

  test('keeps the database from the facade and the workers', () => {
    for (const [name, { environment }] of every(file)) {
      if (name === 'prefect-server' || name === 'postgres') continue;
      expect([name, environment['DB_CONNECTION_URL'] ?? '', environment['POSTGRES_PASSWORD'] ?? '']).toEqual([
        name,
        '',
        '',
      ]);
    }
  });
});

test('a worker takes each of the two queues', () => {
  const queues = (services: Record<string, Service>) =>
    Object.values(services).flatMap(({ environment }) => environment['WORK_QUEUE_NAME'] ?? []);
  for (const file of FILES) {
    expect(queues(loadCompose(join(docker, file), KEYS))).toEqual(['ddp', 'manual-dbt']);
    expect(queues(loadCompose(join(docker, file), { ...KEYS, PREFECT_WORK_QUEUE1_NAME: 'one' }))).toEqual([
      'one',
      'manual-dbt',
    ]);
  }
});

describe.each(['Dockerfile', 'Dockerfile.worker'])('%s', (name) => {
  const file = join(docker, name);

  test('has nothing that hadolint minds', async () => {
    // DL3059: lines of their own are steps of their own in the cache.
    const { stdout } = await run(await hadolint(project), ['--no-color', '--ignore', 'DL3059', file]).catch(
      (error: unknown) => error as { stdout: string },
    );
    expect(stdout).toBe('');
  });

  test('ends as a user, on a base of a fixed version', () => {
    const last = readDockerfile(file).stages.at(-1)!;
    expect(last.instructions.find((one) => one.name === 'USER')?.text).toBe('1000:1000');
    expect(last.base).toMatch(/^(node:24-bookworm-slim|python:3\.11-slim-bookworm)$/);
  });
});

test('the facade starts as `npm start` does', () => {
  const { scripts } = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')) as {
    scripts: { start: string };
  };
  const { instructions } = readDockerfile(join(docker, 'Dockerfile')).stages.at(-1)!;
  const cmd = JSON.parse(instructions.find(({ name }) => name === 'CMD')!.text) as string[];
  expect(`exec ${cmd.join(' ')}`).toBe(scripts.start);
});
