import { LocalStackError, OTHER_WAY } from './errors.js';
import { exec } from './exec.js';

export interface Python {
  path: string;
  version: string;
}

const MIN_MINOR = 10;
/** Prefect 3.8.8 refuses anything newer. */
const MAX_MINOR = 14;

const CANDIDATES = [
  'python3',
  'python3.13',
  'python3.12',
  'python3.11',
  'python3.10',
  'python3.14',
  'python',
];

/** One line: version, path, and whether a virtual environment can be made (Debian packs `ensurepip` apart). */
const PROBE =
  'import sys,importlib.util as u;' +
  'print("%d.%d.%d"%sys.version_info[:3],u.find_spec("venv") and u.find_spec("ensurepip") and "venv" or "bare",sys.executable)';

/** The first usable Python on the PATH. `wanted` (a name or a path), where given, is the only one tried. */
export async function findPython(
  env: Record<string, string>,
  wanted?: string,
  signal?: AbortSignal,
): Promise<Python> {
  const refused: string[] = [];
  let bare: Python | undefined;
  for (const command of wanted === undefined ? CANDIDATES : [wanted]) {
    // A name on the PATH proves nothing: shims of version managers are there for versions that are not.
    const { code, lines } = await exec(command, ['-c', PROBE], { env, signal, timeoutMs: 15_000 });
    const [, version, minor, kind, path] =
      /^(\d+\.(\d+)\.\d+) (venv|bare) (.+)$/.exec(lines.at(-1) ?? '') ?? [];
    if (code !== 0 || version === undefined || path === undefined) continue;
    if (!version.startsWith('3.') || Number(minor) < MIN_MINOR || Number(minor) > MAX_MINOR) {
      refused.push(`${command} is ${version}`);
    } else if (kind === 'bare') {
      bare ??= { path, version };
    } else {
      return { path, version };
    }
  }
  throw new LocalStackError(bare ? withoutVenv(bare) : withoutPython(refused, wanted));
}

function withoutPython(refused: string[], wanted: string | undefined): string {
  const found = refused.length > 0 ? refused.join(', ') : `no ${wanted ?? 'python3'} runs here`;
  return [
    `The local Prefect server needs Python 3.${MIN_MINOR} to 3.${MAX_MINOR}, and ${found}.`,
    `Install Python (with its venv module) and start again.`,
    OTHER_WAY,
  ].join('\n');
}

function withoutVenv({ path, version }: Python): string {
  const minor = version.split('.').slice(0, 2).join('.');
  return [
    `Python ${version} (${path}) lacks the venv module, which the local Prefect server needs.`,
    `Install it (Debian, Ubuntu: apt install python${minor}-venv) and start again.`,
    OTHER_WAY,
  ].join('\n');
}
