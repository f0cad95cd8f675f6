import { join, resolve } from 'node:path';

/** Everything that the local stack writes lies under `.local/` of the project. */
export function localPaths(root: string) {
  const local = join(resolve(root), '.local');
  return {
    local,
    runFile: join(local, 'run.json'),
    home: join(local, 'prefect'),
    logs: join(local, 'logs'),
    lockFile: join(resolve(root), 'flows', 'requirements-3.8.8.lock'),
  };
}
