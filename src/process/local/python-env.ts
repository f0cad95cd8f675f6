import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LocalStackError } from './errors.js';
import { exec } from './exec.js';
import { findPython } from './find-python.js';
import { installLock } from './install.js';
import type { Progress } from './progress.js';

/** Written last: a folder without it is half made. */
const MARKER_FILE = '.complete';
const OURS = /^python-[0-9a-f]{12}$/;

export interface PythonEnvOptions {
  local: string;
  lockFile: string;
  env: Record<string, string>;
  progress: Progress;
  /** A name or a path that is used instead of the first usable one on the PATH. */
  python?: string | undefined;
  signal?: AbortSignal | undefined;
}

/** The folder of the locked Python environment, made where it is not there yet or only in part. */
export async function ensurePythonEnv(options: PythonEnvOptions): Promise<string> {
  const lockText = await readFile(options.lockFile, 'utf8').catch(() => {
    throw new LocalStackError(`The list of Python packages is missing: ${options.lockFile}`);
  });
  const hash = createHash('sha256').update(lockText).digest('hex').slice(0, 12);
  const name = `python-${hash}`;
  const dir = join(options.local, name);
  // The interpreter is a link to the system's: gone after an upgrade there.
  if (existsSync(join(dir, MARKER_FILE)) && existsSync(join(dir, 'bin', 'python'))) return dir;

  const { env, progress, signal } = options;
  const python = await findPython(env, options.python, signal);
  const since = Date.now();
  progress.say(`Making the Python environment, once (Python ${python.version}, .local/${name})`);
  await rm(dir, { recursive: true, force: true });
  await mkdir(options.local, { recursive: true });
  const { code, lines } = await exec(python.path, ['-m', 'venv', dir], { env, signal });
  if (code !== 0) {
    const said = lines.slice(-8).map((line) => `  | ${line}`);
    throw new LocalStackError(['The Python environment could not be made:', ...said].join('\n'));
  }
  await installLock(dir, options.lockFile, lockText, { env, progress, signal });
  await writeFile(join(dir, MARKER_FILE), `${python.version}\n`);
  await dropOthers(options.local, name);
  progress.say(`Python environment ready in ${((Date.now() - since) / 1000).toFixed(1)} s`);
  return dir;
}

/** Environments of earlier lock files: some 300 MB each. */
async function dropOthers(local: string, name: string): Promise<void> {
  const others = (await readdir(local)).filter((other) => OURS.test(other) && other !== name);
  await Promise.all(others.map((other) => rm(join(local, other), { recursive: true, force: true })));
}
