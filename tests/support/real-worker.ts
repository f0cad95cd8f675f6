import { join } from 'node:path';
import { startChild, type Child } from '../../src/process/local/child.js';
import { cleanedEnv, prefectEnv } from '../../src/process/local/clean-env.js';
import { makeProgress } from '../../src/process/local/progress.js';
import { ensurePythonEnv } from '../../src/process/local/python-env.js';

const root = new URL('../..', import.meta.url).pathname;

/**
 * A process worker of the version under test, in the environment of its server (see real-server.ts).
 * @param home a folder of its own, which marks its processes, so that `endStack(home, {worker})` ends just these
 * @param env more of its environment
 */
export async function startRealWorker(
  { apiUrl, pool, home }: { apiUrl: string; pool: string; home: string },
  env: Record<string, string> = {},
): Promise<Child> {
  const version = process.env['PREFECT_VERSION_UNDER_TEST'] ?? '';
  const local = join(root, '.local', `prefect-${version}`);
  const lockFile = join(root, 'flows', `requirements-${version}.lock`);
  const clean = cleanedEnv(process.env, home);
  const progress = makeProgress(() => {});
  const bin = join(await ensurePythonEnv({ local, lockFile, env: clean, progress }), 'bin');
  const args = ['worker', 'start', '--pool', pool, '--type', 'process', '--install-policy', 'never'];
  const own = { ...prefectEnv(clean, { home, apiUrl, bin }), PREFECT_WORKER_QUERY_SECONDS: '1', ...env };
  return startChild('worker', join(bin, 'prefect'), args, {
    env: own,
    cwd: home,
    logFile: join(home, 'worker.log'),
  });
}
