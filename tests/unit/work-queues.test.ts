import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config.js';
import { workQueuesOf } from '../../src/config/work-queues.js';

describe('The work queues', () => {
  it.each([
    [{}, [{ name: 'ddp' }, { name: 'manual-dbt' }]],
    [
      { PREFECT_WORK_QUEUE1_NAME: 'one', PREFECT_WORK_QUEUE2_CONCURRENCY_LIMIT: '3' },
      [{ name: 'one' }, { name: 'manual-dbt', concurrencyLimit: 3 }],
    ],
    [
      { PREFECT_WORK_QUEUES: ' ddp, manual-dbt ,edr:2,airbyte sync : 10,' },
      [
        { name: 'ddp' },
        { name: 'manual-dbt' },
        { name: 'edr', concurrencyLimit: 2 },
        { name: 'airbyte sync', concurrencyLimit: 10 },
      ],
    ],
    [{ PREFECT_WORK_QUEUES: 'edr', PREFECT_WORK_QUEUE1_NAME: 'one' }, [{ name: 'edr' }]],
  ])('are read from %j', (env, queues) => {
    expect(workQueuesOf(loadConfig(env))).toEqual(queues);
  });
});
