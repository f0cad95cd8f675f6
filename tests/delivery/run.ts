import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Children } from '../../bench/lib/children.js';
import { root } from '../../bench/lib/servers.js';
import { findPostgres, Postgres } from '../support/postgres.js';
import { play, type PlayOptions, type Result } from './play.js';
import { ensurePrefect } from './prefect-server.js';
import { ROUNDS, type Round } from './rounds.js';
import { Stage } from './stage.js';
import { heading, problemLines, row, summary } from './table.js';

const VERSIONS = ['3.8.8', '3.6.29'];
const QUICK_RUNS = '60';
const HELP = `npm run prove:delivery -- [options]

  --runs <n>        runs a round (1000; with --quick ${QUICK_RUNS})
  --rate <n>        runs that end in a second, at most (5)
  --workers <n>     worker processes of the facade (1)
  --server <v>      ${VERSIONS.join(', ')} or both (both)
  --database <d>    postgres (a cluster of its own, without fsync) or sqlite, on which Prefect stalls for a minute as soon
                    as a few write at once (postgres, where its programs are found)
  --only <round>    one round; may come several times
  --quick           few runs and short outages, for CI

Rounds:
${ROUNDS.map(({ name, about }) => `  ${name.padEnd(20)}${about}`).join('\n')}
`;
const say = (line: string) => void process.stdout.write(`${line}\n`);

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      runs: { type: 'string' },
      rate: { type: 'string', default: '5' },
      workers: { type: 'string', default: '1' },
      server: { type: 'string', default: 'both' },
      database: { type: 'string' },
      only: { type: 'string', multiple: true },
      quick: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    say(HELP);
    return;
  }
  const { quick } = values;
  const options: PlayOptions = {
    runs: positive('--runs', values.runs ?? (quick ? QUICK_RUNS : '1000')),
    rate: positive('--rate', values.rate),
    workers: positive('--workers', values.workers),
    quick,
  };
  const rounds = chosen('--only', values.only ?? ROUNDS.map(({ name }) => name), (name) =>
    ROUNDS.find((round) => round.name === name),
  );
  const versions = chosen('--server', values.server === 'both' ? VERSIONS : [values.server], (version) =>
    VERSIONS.find((one) => one === version),
  );
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      process.stderr.write(`ended by ${signal}\n`);
      process.exit(130);
    });
  }
  const postgres = await startDatabase(values.database);
  const results: Result[] = [];
  for (const version of versions) results.push(...(await prove(version, rounds, options, postgres)));
  say(`\n${summary(results)}`);
  process.exit(results.every(({ problems }) => problems.length === 0) ? 0 : 1);
}

/** @returns undefined for SQLite */
async function startDatabase(name: string | undefined): Promise<Postgres | undefined> {
  const database = chosen('--database', name === undefined ? [] : [name], (one) =>
    ['postgres', 'sqlite'].find((known) => known === one),
  )[0];
  if (database === 'sqlite') return undefined;
  const programs = findPostgres();
  if (programs !== undefined) return Postgres.start(programs);
  if (database === 'postgres') fail('--database postgres: there is no initdb on the PATH');
  say("PostgreSQL's initdb is not installed: SQLite, whose locks are part of what is measured");
  return undefined;
}

/** Plays the rounds on one server version. @param postgres undefined for SQLite */
async function prove(
  version: string,
  rounds: Round[],
  options: PlayOptions,
  postgres: Postgres | undefined,
): Promise<Result[]> {
  const python = await ensurePrefect(version, say);
  const children = new Children(mkdtempSync(join(tmpdir(), 'prefect-proxy-delivery-')));
  const logs = join(root, '.local', 'delivery', version);
  rmSync(logs, { recursive: true, force: true });
  mkdirSync(logs, { recursive: true });
  const database = postgres ? 'PostgreSQL, fsync off' : 'SQLite';
  say(`\nPrefect ${version} on ${database}: ${options.runs} runs a round\n${heading()}`);
  const results: Result[] = [];
  let stage: Stage | undefined;
  for (const [index, round] of rounds.entries()) {
    // A server of its own for each round; quickly, only after one that failed.
    stage ??= await Stage.build({
      children,
      version,
      python,
      name: `${index + 1}`,
      logs,
      database: postgres?.createDatabase(),
    });
    if (round.prefectSettings) {
      await stage.prefect.kill();
      await stage.prefect.start(round.prefectSettings);
    }
    const result = await play(stage, round, options);
    results.push(result);
    say(row(version, result));
    for (const problem of problemLines(result.problems)) say(`    ${problem}`);
    if (result.problems.length > 0) say(`    logs: ${logs}/${stage.options.name}-*`);
    if (!options.quick || result.problems.length > 0) {
      await stage.close();
      stage = undefined;
    }
  }
  await stage?.close();
  await children.endAll();
  return results;
}

function positive(name: string, text: string): number {
  const number = Number(text);
  if (!(number > 0)) fail(`${name} ${text}: not a number above 0`);
  return number;
}

function chosen<T>(option: string, names: string[], find: (name: string) => T | undefined): T[] {
  return names.map((name) => find(name) ?? fail(`${option} ${name}: there is none of that name`));
}

function fail(text: string): never {
  process.stderr.write(`${text}\n`);
  process.exit(2);
}

await main();
