import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/**
 * Runs the README's lines against the local stack that runs in this folder, as they stand:
 * `tsx tests/client/readme.ts http://127.0.0.1:8080`. Each line of the section "Routes" must be answered 200, or what the
 * table says in brackets; each command `npx prefect-proxy ...` must end with 0.
 */
const [url = 'http://127.0.0.1:8080'] = process.argv.slice(2);
const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const section = readme.split(/^## /m).find((text) => text.startsWith('Routes')) ?? '';
const setup = /```bash\n([\s\S]*?)```/.exec(section)?.[1]?.replace(/^BASE=.*/m, `BASE=${url}`);
if (!setup) throw new Error('the README has no section "Routes" with its first lines');

const lines = section.split('\n').flatMap((row) => {
  const line = /`(curl .*)` \|$/.exec(row)?.[1];
  return line ? [{ line, wanted: /\((400|404|500)[^)]*\)/.exec(row)?.[1] ?? '200' }] : [];
});
const script = lines.map(({ line }) => `${line} -o /dev/null -w '%{http_code}\\n'`).join('\n');
const { stdout, stderr } = spawnSync('bash', ['-c', `set -eu\n${setup}\n${script}`], { encoding: 'utf8' });
const statuses = stdout.trim().split('\n');
const wrong = lines.filter(({ wanted }, index) => statuses[index] !== wanted);
if (stderr || wrong.length > 0) {
  console.error(stderr, wrong, statuses.join(' '));
  process.exitCode = 1;
} else {
  console.log(`${lines.length} lines of the README work`);
}

const commands = new Set(readme.match(/(?<=`)npx prefect-proxy [^`<]+(?=`)/g));
for (const command of commands) {
  const {
    stdout: output,
    stderr: complaints,
    status,
  } = spawnSync('bash', ['-c', command], { encoding: 'utf8' });
  console.log(`${command}: ${status === 0 ? 'works' : `failed\n${output}${complaints}`}`);
  if (status !== 0) process.exitCode = 1;
}
if (commands.size === 0) throw new Error('the README has no command npx prefect-proxy');
