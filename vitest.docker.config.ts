import { defineConfig } from 'vitest/config';

/**
 * `npm run test:docker`: the images and compose files, on a machine without a Docker engine. Needs the package registries,
 * git, Python and PostgreSQL.
 */
export default defineConfig({
  test: {
    include: ['tests/docker/**/*.test.ts'],
    testTimeout: 300_000,
    hookTimeout: 1_200_000,
  },
});
