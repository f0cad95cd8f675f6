import { defineConfig } from 'vitest/config';

/** `npm test`: no network beyond loopback, no Python. The contract tests run against the mock orchestrator. */
export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    exclude: ['tests/live/**', 'tests/browser/**', 'tests/docker/**'],
    testTimeout: 20_000,
    hookTimeout: 20_000,
  },
});
