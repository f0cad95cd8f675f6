import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

/**
 * Imports go one way: http -> routes -> services -> prefect.
 * @param {string[]} files
 * @param {string[]} patterns
 * @param {string} message
 */
const forbid = (files, patterns, message) => ({
  files,
  rules: {
    'no-restricted-imports': ['error', { patterns: patterns.map((group) => ({ group: [group], message })) }],
  },
});

export default defineConfig(
  { ignores: ['dist', 'node_modules', '.local', 'flows', 'coverage', '.ci', '*.config.js'] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      eqeqeq: 'error',
      'no-console': 'error',
    },
  },
  {
    files: ['src/**'],
    ignores: ['src/config.ts', 'src/process/**', 'src/cli.ts', 'src/demo.ts'],
    rules: {
      'no-restricted-properties': [
        'error',
        { object: 'process', property: 'env', message: 'Only config.ts reads the environment.' },
      ],
    },
  },
  forbid(['src/routes/**'], ['undici', 'winston'], 'Routes know no undici: they call prefect/ or services/.'),
  forbid(
    ['src/services/**'],
    ['hono', 'hono/*', '@hono/*', 'undici', 'winston', '**/routes/*', '**/http/*'],
    'Services know no HTTP.',
  ),
  forbid(
    ['src/prefect/**'],
    ['hono', 'hono/*', '@hono/*', 'winston', '**/routes/*', '**/services/*', '**/http/*'],
    'The prefect modules know only the client.',
  ),
  forbid(
    ['src/http/**', 'src/app.ts'],
    ['winston', 'undici'],
    'Only logger.ts writes; only prefect/ calls out.',
  ),
  {
    files: ['tests/**', 'bench/**'],
    rules: { 'no-console': 'off', '@typescript-eslint/no-non-null-assertion': 'off' },
  },
);
