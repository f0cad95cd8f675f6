import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';

/** A folder that goes with the test. */
export function tempDir(): string {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), 'prefect-proxy-')));
  onTestFinished(() => {
    rmSync(dir, { recursive: true, force: true });
  });
  return dir;
}

/** Writes an executable shell script. */
export function script(path: string, body: string): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** What a `python3` says to the probe of find-python.ts. */
export const answers = (version: string, kind: 'venv' | 'bare', path: string) =>
  `echo "${version} ${kind} ${path}"`;

export interface FakePython {
  version?: string;
  /** Shell code for `python -m pip install ...`. */
  pip?: string;
  /** Shell code for `python <script> ...`. */
  run?: string;
}

/**
 * A `python3` without Python: answers the probe, makes an "environment" that holds a copy of itself, and notes each of its
 * calls in `calls`.
 */
export function fakePython(bin: string, { version = '3.12.1', pip = ':', run = ':' }: FakePython = {}) {
  const path = join(bin, 'python3');
  const calls = join(bin, 'calls');
  script(
    path,
    `echo "$*" >> "${calls}"
case "$1 $2 $3" in
  "-c "*) echo "${version} venv ${path}" ;;
  "-m venv "*) /bin/mkdir -p "$3/bin" "$3/lib/python3.12/site-packages" && /bin/cp "${path}" "$3/bin/python" ;;
  "-m pip config") ;;
  "-m pip install") ${pip} ;;
  *) ${run} ;;
esac`,
  );
  return { path, calls };
}
