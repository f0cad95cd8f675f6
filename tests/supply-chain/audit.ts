import { spawnSync } from 'node:child_process';
import { npmVerdict, pythonVerdict, type Verdict } from './verdict.js';

/**
 * `audit.ts npm`, or `audit.ts python PIP_AUDIT LOCK...`: known advisories of what is installed in production.
 * Exit status: 0 none; 1 there are some; 77 they could not be read, which is no pass.
 */
const SKIPPED = 77;
const say = (line: string) => void process.stdout.write(`${line}\n`);

function main([what, program = '', ...locks]: string[]): number {
  const verdicts =
    what === 'npm'
      ? [
          report(
            'npm packages',
            npmVerdict(output('npm', ['audit', '--omit=dev', '--json', '--fetch-retries=0'])),
          ),
        ]
      : locks.map((lock) => {
          const args = ['--no-deps', '--disable-pip', '--progress-spinner=off', '--format=json', '-r', lock];
          return report(lock, pythonVerdict(output(program, args)));
        });
  if (verdicts.some(({ findings }) => findings.length > 0)) return 1;
  return verdicts.some(({ unknown }) => unknown !== undefined) ? SKIPPED : 0;
}

function report(what: string, verdict: Verdict): Verdict {
  const { audited, findings, unknown } = verdict;
  for (const line of findings) say(`${what}: ${line}`);
  if (unknown !== undefined) say(`${what}: no advisory database reachable: not audited (${unknown})`);
  if (audited > 0) say(`${what}: ${audited} audited, ${findings.length} with an advisory`);
  return verdict;
}

function output(program: string, args: string[]): string {
  const { stdout, error } = spawnSync(program, args, {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    timeout: 120_000,
  });
  if (error !== undefined) say(`${program}: ${error.message}`);
  return stdout;
}

process.exitCode = main(process.argv.slice(2));
