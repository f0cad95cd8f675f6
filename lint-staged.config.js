/** The commit hook: what is about to be committed is formatted and linted; all types are checked where one may change. */
export default {
  '*.{ts,js}': ['eslint --fix --max-warnings 0 --no-warn-ignored', 'prettier --write'],
  '*.ts': () => 'tsc --noEmit',
  '*.{json,yml,yaml,css,html}': 'prettier --write',
};
