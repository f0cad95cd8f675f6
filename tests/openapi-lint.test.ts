import { createConfig, lintFromString } from '@redocly/openapi-core';
import { expect, it } from 'vitest';
import { describeApi } from '../src/serve.js';

it('passes the linter', async () => {
  const config = await createConfig({
    extends: ['recommended-strict'],
    // The paths are those that hosts have been calling for years: some end in a slash, some overlap.
    rules: { 'no-path-trailing-slash': 'off', 'no-ambiguous-paths': 'off' },
  });
  const problems = await lintFromString({ source: JSON.stringify(describeApi()), config });
  expect(problems.map(({ ruleId, message, location }) => [ruleId, message, location[0]?.pointer])).toEqual(
    [],
  );
});
