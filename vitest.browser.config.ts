import { defineConfig } from 'vitest/config';

/** `npm run test:browser`: pages in a real Chromium, found on the PATH or by CHROMIUM. */
export default defineConfig({
  test: {
    include: ['tests/browser/**/*.test.ts'],
    testTimeout: 600_000,
    hookTimeout: 60_000,
  },
});
