import { defineConfig } from 'vitest/config';
import { findPostgres } from './tests/support/postgres.js';

const MOCK_PARITY = 'tests/live/mock-parity.test.ts';
const EVERYTHING = ['tests/contract/**/*.test.ts', 'tests/live/**/*.test.ts'];
/** What SQLite does in its own way: the queries of lists, what it stores, and runs as `npm start` has them. */
const DATABASE_MATTERS = [
  'tests/contract/{blocks-secret,deployments-filter,deployments-numbers,flow-runs,graph,logs,run-lists,unstorable}*.test.ts',
  'tests/live/{examples,sync-runs}.test.ts',
  MOCK_PARITY,
];
const hasPostgres = findPostgres() !== undefined;

if (!hasPostgres) {
  const missing = 'PostgreSQL is not installed: there is no initdb, on the PATH or in /usr/lib/postgresql.';
  if (process.env['CI']) throw new Error(missing);
  process.stderr.write(`${missing} Prefect runs on SQLite only, which may stall for a minute.\n`);
}

/** A Prefect version on a database, and the tests that it has to pass. */
interface Target {
  version: string;
  database: 'postgres' | 'sqlite';
  include: string[];
}

/**
 * `npm run test:live`: the same contract tests against real Prefect servers. Needs Python >= 3.10 (the locked
 * environments are made once under `.local/`) and PostgreSQL's programs; without them both versions run on SQLite.
 */
const targets: Target[] = hasPostgres
  ? [
      { version: '3.8.8', database: 'postgres', include: EVERYTHING },
      { version: '3.6.29', database: 'postgres', include: EVERYTHING },
      { version: '3.8.8', database: 'sqlite', include: DATABASE_MATTERS },
      { version: '3.6.29', database: 'sqlite', include: [MOCK_PARITY] },
    ]
  : [
      { version: '3.8.8', database: 'sqlite', include: EVERYTHING },
      { version: '3.6.29', database: 'sqlite', include: EVERYTHING },
    ];

export default defineConfig({
  test: {
    projects: targets.map(({ version, database, include }) => ({
      test: {
        name: `prefect ${version} ${database}`,
        include,
        exclude: database === 'postgres' ? [MOCK_PARITY] : [],
        globalSetup: ['tests/support/real-server.ts'],
        env: { PREFECT_VERSION_UNDER_TEST: version },
        // Tests as users would send them: one file after the other, on one server after the other.
        fileParallelism: false,
        testTimeout: 120_000,
        hookTimeout: 180_000,
      },
    })),
  },
});
