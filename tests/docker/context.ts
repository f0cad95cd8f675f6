import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The files of the project that a build with this Dockerfile sees: those of git without what its ignore file leaves out. */
export function buildContext(root: string, dockerfile: string): string[] {
  const rules = readFileSync(`${dockerfile}.dockerignore`, 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('#'))
    .map((line) => ({ keep: line.startsWith('!'), pattern: asRegExp(line.replace(/^!/, '')) }));
  const ignored = (file: string) => !(rules.findLast(({ pattern }) => pattern.test(file))?.keep ?? true);
  return execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { cwd: root, encoding: 'utf8' })
    .split('\n')
    .filter((file) => file !== '' && !ignored(file) && existsSync(join(root, file)));
}

/** A pattern also matches all that is below what it names. */
function asRegExp(pattern: string): RegExp {
  const body = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*\*\/|\*|\?/g, (wild) => ({ '**/': '(.*/)?', '*': '[^/]*', '?': '[^/]' })[wild] ?? '');
  return new RegExp(`^${body}(/.*)?$`);
}
