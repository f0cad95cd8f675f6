import { defineConfig } from 'vitest/config';

/**
 * `npm run test:live`: the same contract tests against real Prefect servers, one project for each version. Needs
 * Python >= 3.10; makes the locked environments once under `.local/`.
 */
export default defineConfig({
  test: {
    projects: ['3.8.8', '3.6.29'].map((version) => ({
      test: {
        name: `prefect ${version}`,
        include: ['tests/contract/**/*.test.ts', 'tests/live/**/*.test.ts'],
        globalSetup: ['tests/support/real-server.ts'],
        env: { PREFECT_VERSION_UNDER_TEST: version },
        // A SQLite server answers 503 to parallel writes: files one after the other, tests as users would send them.
        fileParallelism: false,
        testTimeout: 120_000,
        hookTimeout: 180_000,
      },
    })),
  },
});
