import { parseArgs } from 'node:util';

const DEFAULT_VERSION = '3.8.8';

/** The Prefect version of `--server`, one of those with a lock in `flows/`. */
export function serverVersion(): string {
  const { values } = parseArgs({ options: { server: { type: 'string' } }, strict: false });
  return typeof values.server === 'string' ? values.server : DEFAULT_VERSION;
}

/** Whether `--quick` asks for fewer and shorter rounds. */
export function isQuick(): boolean {
  return process.argv.includes('--quick');
}
