import { findTargets, type Targets } from '../commands/targets.js';
import type { Config } from '../config.js';
import { createClient } from '../create-client.js';
import { UpstreamError } from '../prefect/errors.js';
import { deploymentDefaults } from '../services/deployment-defaults.js';
import {
  deployExample,
  EXAMPLES,
  ForeignDeployment,
  type DeployedExample,
  type Example,
  type ExampleOptions,
} from '../services/flows-deploy.js';

/** As the command line gives them. */
export interface FlowsDeployFlags {
  paused?: boolean;
  only?: string[];
  pool?: string;
  queue?: string;
  /** Seconds. */
  interval: string;
}

interface CommandOptions {
  config: Config;
  /** The project's root. */
  root: string;
  say: (line: string) => void;
}

const MAX_INTERVAL = 366 * 86_400;

/** The command cannot do what it was told; the message says why. */
class UsageError extends Error {}

/**
 * Deploys the example flows at the Prefect server of the configuration; without one, at that of the local stack that
 * runs here. Writes a line for each deployment and stops at the first that fails.
 * @returns the exit code
 * @throws NoTargetError
 */
export async function runFlowsDeploy(flags: FlowsDeployFlags, command: CommandOptions): Promise<number> {
  const { config, root, say } = command;
  try {
    const chosen = chooseExamples(flags);
    const options = exampleOptions(flags, config);
    return (await deployAll(findTargets(config, root).config, chosen, options, say)) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    say(`✗ ${error.message}`);
    return 1;
  }
}

function chooseExamples({ only }: FlowsDeployFlags): Example[] {
  const names = EXAMPLES.map((one) => one.flow_name);
  const unknown = (only ?? []).filter((name) => !names.includes(name));
  if (unknown.length > 0)
    throw new UsageError(`--only: there is no ${unknown.join(', ')}, but ${names.join(', ')}`);
  return EXAMPLES.filter(({ flow_name }) => only?.includes(flow_name) ?? true);
}

function exampleOptions({ interval, pool, queue, paused }: FlowsDeployFlags, config: Config): ExampleOptions {
  const intervalSeconds = Number(interval);
  if (!Number.isInteger(intervalSeconds) || intervalSeconds < 1 || intervalSeconds > MAX_INTERVAL)
    throw new UsageError(`--interval must be a whole number of seconds, from 1 to ${MAX_INTERVAL}`);
  // As `serve` settles it for the local stack.
  const localPool = config.PREFECT_API_URL === undefined ? config.PREFECT_POOL_NAME : undefined;
  const { workPoolName, workQueueName } = deploymentDefaults(config);
  return {
    poolName: pool ?? config.DEFAULT_WORK_POOL_NAME ?? localPool ?? workPoolName,
    queueName: queue ?? workQueueName,
    intervalSeconds,
    paused,
  };
}

async function deployAll(
  config: Targets['config'],
  chosen: Example[],
  options: ExampleOptions,
  say: CommandOptions['say'],
): Promise<boolean> {
  const client = createClient(config, config.PREFECT_API_URL);
  try {
    for (const one of chosen) {
      try {
        const deployed = await deployExample(client, config, one, options);
        say(`✓ ${nameOf(one)} ${deployed.id} ${describe(deployed, options.intervalSeconds)}`);
      } catch (error) {
        say(`✗ ${nameOf(one)} ${reasonOf(error, new URL(config.PREFECT_API_URL).host)}`);
        return false;
      }
    }
    return true;
  } finally {
    await client.close();
  }
}

const nameOf = ({ flow_name, name }: Example) => `${flow_name}/${name}`.padEnd(26);

function describe({ done, fields, paused, switched }: DeployedExample, seconds: number): string {
  const what = done === 'changed' ? `changed: ${fields.join(', ')}` : done;
  if (!paused) return `${what}; ${switched ? 'resumed, ' : ''}every ${seconds} s`;
  return `${what}; ${switched || done === 'made' ? 'paused' : 'still paused, --no-paused resumes it'}`;
}

/** Why it failed, for people. @throws what should not happen */
function reasonOf(error: unknown, host: string): string {
  if (error instanceof ForeignDeployment) return 'there is one of that name that this command did not make';
  if (!(error instanceof UpstreamError)) throw error;
  const { explanation } = error.details;
  const said = typeof explanation === 'string' ? explanation : JSON.stringify(explanation);
  return `${error.message}${explanation === undefined ? '' : `: ${said}`} (${host})`;
}
