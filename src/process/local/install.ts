import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { LocalStackError, OTHER_WAY } from './errors.js';
import { exec, type ExecOptions } from './exec.js';
import type { Progress } from './progress.js';

/** uv installs the lock in 4 s where pip takes 22 s (2 cores). Nothing depends on it: without it, pip does the work. */
const UV = 'uv==0.13.8';

/** pip settings that do not change what is installed, or from where. */
const HARMLESS = new Set(
  (
    'timeout default-timeout retries disable-pip-version-check cache-dir no-cache-dir progress-bar quiet verbose no-color ' +
    'no-input root-user-action require-virtualenv break-system-packages log user'
  ).split(' '),
);

/**
 * pip's own settings as uv's variables, so that both install from the same place; undefined where pip is set up in a
 * way that uv cannot follow. `configured` are the lines of `pip config list`.
 */
export function uvSettings(configured: string[]): Record<string, string> | undefined {
  const settings: Record<string, string> = {};
  // The environment comes first in the list, and counts most.
  const lines = configured.filter(Boolean).sort((a, b) => Number(isFromEnv(a)) - Number(isFromEnv(b)));
  for (const line of lines) {
    const [, name = '', value = ''] = /^[^=]*\.([\w-]+)='(.*)'$/.exec(line) ?? [];
    // pip separates several by blanks or (escaped) line ends.
    const values = value.split(/(?:\s|\\n)+/).filter(Boolean);
    if (name === 'index-url') settings['UV_DEFAULT_INDEX'] = value;
    else if (name === 'extra-index-url') settings['UV_INDEX'] = values.join(' ');
    else if (name === 'find-links') settings['UV_FIND_LINKS'] = values.join(',');
    else if (name === 'cert') settings['SSL_CERT_FILE'] = value;
    else if (!HARMLESS.has(name)) return undefined;
  }
  return settings;
}

const isFromEnv = (line: string) => line.startsWith(':env:');

/** Installs the lock file into the environment at `dir`: with uv where it can be had, else with pip. */
export async function installLock(
  dir: string,
  lockFile: string,
  lockText: string,
  how: { env: Record<string, string>; progress: Progress; signal?: AbortSignal | undefined },
): Promise<void> {
  const python = join(dir, 'bin', 'python');
  const counter = new PackageCounter(dir, lockText, how.progress);
  const options: ExecOptions = {
    env: how.env,
    signal: how.signal,
    onLine: (line) => {
      counter.read(line);
    },
  };
  const pip = (...args: string[]) =>
    exec(python, ['-m', 'pip', ...args], {
      ...options,
      env: { ...how.env, PIP_NO_INPUT: '1', PIP_USER: '0' },
    });
  try {
    const config = uvSettings((await pip('config', 'list')).lines);
    if (config && (await pip('install', '--quiet', UV)).code === 0) {
      const args = ['pip', 'install', '--no-deps', '--compile-bytecode', '--python', python, '-r', lockFile];
      const env = { ...config, ...how.env };
      if ((await exec(join(dir, 'bin', 'uv'), args, { ...options, env })).code === 0) return;
    }
    counter.restart();
    // The lock is complete. Left to look at dependencies, pip refuses those with extras: they carry no hash of their own.
    const { code, lines } = await pip('install', '--no-deps', '--progress-bar', 'off', '-r', lockFile);
    if (code !== 0) throw new LocalStackError(failed(lines));
  } finally {
    counter.stop();
  }
}

function failed(lines: string[]): string {
  const last = lines.slice(-12).map((line) => `  | ${line}`);
  return [`Prefect's Python packages could not be installed. pip said:`, ...last, OTHER_WAY].join('\n');
}

/** Counts packages as pip announces them, then as their folders appear (uv is silent until it is done). */
class PackageCounter {
  private total: number;
  private collected = 0;
  private readonly timer: NodeJS.Timeout;

  constructor(
    private readonly dir: string,
    private readonly lockText: string,
    private readonly progress: Progress,
  ) {
    this.total = this.inLock();
    this.timer = setInterval(() => {
      this.show('installing Python packages', this.installed());
    }, 250);
  }

  /** uv gave up: pip starts from the beginning. */
  restart(): void {
    this.total = this.inLock();
    this.collected = 0;
  }

  read(line: string): void {
    // The lock is for all platforms and versions; both tools tell how much of it is for this one.
    if (line.startsWith('Ignoring ')) this.total -= 1;
    const [, resolved] = /^Resolved (\d+) packages?/.exec(line) ?? [];
    if (resolved !== undefined) this.total = Number(resolved);
    if (/^\s*(Collecting|Requirement already satisfied)/.test(line)) this.collected += 1;
    if (line.startsWith('Installing collected')) this.collected = 0;
    if (this.collected > 0) this.show('fetching Python packages', this.collected);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private show(what: string, done: number): void {
    if (what.startsWith('fetching') || this.collected === 0) {
      this.progress.count(what, Math.min(done, this.total), this.total);
    }
  }

  private inLock(): number {
    return this.lockText.match(/^[\w.[\]-]+\s*==/gm)?.length ?? 1;
  }

  private installed(): number {
    try {
      const lib = join(this.dir, 'lib');
      const version = readdirSync(lib).find((name) => name.startsWith('python')) ?? '';
      const names = readdirSync(join(lib, version, 'site-packages'));
      return names.filter((name) => name.endsWith('.dist-info') && !/^(pip|setuptools|uv)-/.test(name))
        .length;
    } catch {
      return 0;
    }
  }
}
