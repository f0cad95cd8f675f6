#!/usr/bin/env node
/**
 * The command `prefect-proxy`. npm links it when it installs, and a fresh clone has no dist/ then; so this file exists
 * from the start, and it builds dist/ whenever a source is newer. If there are no sources (an image), or nothing can be
 * built (a read-only folder, an installation without development tools), dist/ is used as it is.
 *
 * It is a package of its own, which the project depends on: npm links the commands of what a project depends on, and
 * npx finds them there. For a command of the project itself, npx makes a link in its cache, which needs a folder that
 * can be written to, and which stays broken if the command did not exist at the first try.
 */
import { execFileSync } from 'node:child_process';
import cluster from 'node:cluster';
import { accessSync, constants, existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const program = join(root, 'dist', 'cli.js');

// Workers run what their primary runs.
if (cluster.isPrimary && isStale() && isWritable()) build();
if (existsSync(program)) await import(program);
else {
  process.stderr.write('prefect-proxy is not built: run npm ci && npm run build\n');
  process.exitCode = 1;
}

function isStale() {
  const sources = join(root, 'src');
  if (!existsSync(sources)) return false;
  const files = readdirSync(sources, { recursive: true }).map((file) => join(sources, String(file)));
  const built = changedAt(program);
  return [join(root, 'package.json'), ...files].some((file) => changedAt(file) > built);
}

/** @param {string} file @returns milliseconds since the epoch; 0 if there is no such file */
function changedAt(file) {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

function isWritable() {
  try {
    accessSync(root, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function build() {
  try {
    execFileSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  } catch {
    process.stderr.write('prefect-proxy could not be built: did npm ci install the development tools?\n');
  }
}
