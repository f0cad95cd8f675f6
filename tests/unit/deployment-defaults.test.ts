import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config.js';
import { deploymentDefaults } from '../../src/services/deployment-defaults.js';

const PIPELINE = 'pipeline.py:deployment_schedule_flow_v5';

describe('deploymentDefaults', () => {
  it.each([
    [{}, PIPELINE, '.'],
    [{ FLOWS_DIRECTORY: 'flows' }, `flows/${PIPELINE}`, 'flows'],
    [{ FLOWS_DIRECTORY: './a/flows/' }, `a/flows/${PIPELINE}`, './a/flows/'],
    [{ FLOWS_DIRECTORY: '.' }, PIPELINE, '.'],
    [{ FLOWS_ENTRYPOINT: `flows/${PIPELINE}` }, `flows/${PIPELINE}`, 'flows'],
    [{ FLOWS_ENTRYPOINT: 'own.py:f' }, 'own.py:f', '.'],
    [{ FLOWS_ENTRYPOINT: 'own/it.py:f', FLOWS_DIRECTORY: 'flows' }, 'own/it.py:f', 'flows'],
    [{ FLOWS_ENTRYPOINT: 'own/it.py:f', FLOWS_DIRECTORY: '.' }, 'own/it.py:f', '.'],
  ])('finds the flows by %j', (env, entrypoint, flowsDirectory) => {
    expect(deploymentDefaults(loadConfig(env))).toMatchObject({ entrypoint, flowsDirectory });
  });
});
