import { posix } from 'node:path';
import parameterSchema from '../../flows/parameter-schema.json' with { type: 'json' };
import type { Config } from '../config.js';
import type { DeploymentDefaults } from './deployments.js';

const PIPELINE = 'pipeline.py:deployment_schedule_flow_v5';

/** What deployments made here have in common, from the configuration. */
export function deploymentDefaults(config: Config): DeploymentDefaults {
  const { FLOWS_ENTRYPOINT: givenEntrypoint, FLOWS_DIRECTORY: givenDirectory } = config;
  const flowsDirectory = givenDirectory ?? posix.dirname(givenEntrypoint ?? PIPELINE);
  const entrypoint = givenEntrypoint ?? posix.join(flowsDirectory, PIPELINE);
  const functionName = entrypoint.split(':')[1] ?? '';
  return {
    // Prefect names a flow after its function, with dashes.
    flowName: functionName.replaceAll('_', '-'),
    entrypoint,
    flowsDirectory,
    pullSteps: [pullStep(config)],
    parameterSchema,
    workPoolName: config.DEFAULT_WORK_POOL_NAME ?? 'default-agent-pool',
    workQueueName: config.DEFAULT_WORK_QUEUE_NAME,
  };
}

function pullStep(config: Config): Record<string, unknown> {
  if (!config.FLOWS_GIT_URL)
    return { 'prefect.deployments.steps.set_working_directory': { directory: config.FLOWS_PATH } };
  return {
    'prefect.deployments.steps.git_clone': {
      repository: config.FLOWS_GIT_URL,
      branch: config.PREFECT_PROXY_GIT_BRANCH,
    },
  };
}
