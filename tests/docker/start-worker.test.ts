import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';

const folder = new URL('../../docker/worker', import.meta.url).pathname;

/** Prints the settings that start_worker.py reads, or why it refuses them; httpx is not needed for that. */
const READ = `
import json, sys, types
sys.modules["httpx"] = types.SimpleNamespace(Client=None, Response=None)
from start_worker import read_settings
try:
    settings = read_settings(json.loads(sys.argv[1]))
    print(json.dumps([settings.queues, settings.taken, settings.name]))
except ValueError as error:
    print(json.dumps(str(error)))
`;

function settings(env: Record<string, string>): unknown {
  const given = JSON.stringify({ PREFECT_API_URL: 'http://prefect/api', ...env });
  const options = { cwd: folder, env: { ...process.env, PYTHONPATH: folder, PYTHONDONTWRITEBYTECODE: '1' } };
  return JSON.parse(execFileSync('python3', ['-c', READ, given], options).toString());
}

describe('start_worker.py', () => {
  test.each([
    [{}, { ddp: null, 'manual-dbt': null }, ['ddp']],
    [{ WORK_QUEUE_NAME: 'manual-dbt' }, { ddp: null, 'manual-dbt': null }, ['manual-dbt']],
    [{ PREFECT_WORK_QUEUES: 'ddp, edr : 2,x' }, { ddp: null, edr: 2, x: null }, ['ddp', 'edr', 'x']],
    [{ PREFECT_WORK_QUEUES: 'a,b:1,c', WORKER_TAKES: 'first' }, { a: null, b: 1, c: null }, ['a']],
    [{ PREFECT_WORK_QUEUES: 'a,b:1,c', WORKER_TAKES: 'others' }, { a: null, b: 1, c: null }, ['b', 'c']],
    [{ PREFECT_WORK_QUEUES: 'a', WORKER_TAKES: 'others' }, { a: null }, ['a']],
    [
      { PREFECT_WORK_QUEUES: 'a', PREFECT_WORK_QUEUE1_NAME: 'one', WORK_QUEUE_NAME: 'one' },
      { a: null },
      ['a'],
    ],
  ])('reads the queues of %j', (env, queues, taken) => {
    expect(settings(env)).toEqual([queues, taken, `worker-${taken[0]!}`]);
  });

  test.each([',', 'a:0', 'a:x', ':2', 'a,a', 'a/b', 'a:', 'a:1:2'])('refuses the queues %j', (list) => {
    expect(settings({ PREFECT_WORK_QUEUES: list })).toContain('PREFECT_WORK_QUEUES must');
  });
});
