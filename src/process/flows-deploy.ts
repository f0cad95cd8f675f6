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
import { localPaths } from './local/paths.js';
import { listProcesses } from './local/processes.js';

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
 * Deploys the example flows at the orchestrator of the configuration, without one at that of the local stack that
 * runs here. One line for each deployment; the first that fails ends it. @returns the exit code
 */
export async function runFlowsDeploy(flags: FlowsDeployFlags, command: CommandOptions): Promise<number> {
  const { config, root, say } = command;
  try {
    const chosen = chooseExamples(flags);
    const options = exampleOptions(flags, config);
    return (await deployAll(apiUrlOf(config, root), chosen, options, command)) ? 0 : 1;
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
  apiUrl: string,
  chosen: Example[],
  options: ExampleOptions,
  { config, say }: CommandOptions,
): Promise<boolean> {
  const client = createClient(config, apiUrl);
  try {
    for (const one of chosen) {
      try {
        const deployed = await deployExample(client, config, one, options);
        say(`✓ ${nameOf(one)} ${deployed.id} ${describe(deployed, options.intervalSeconds)}`);
      } catch (error) {
        say(`✗ ${nameOf(one)} ${reasonOf(error, new URL(apiUrl).host)}`);
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

function apiUrlOf({ PREFECT_API_URL }: Config, root: string): string {
  const apiUrl = PREFECT_API_URL ?? localApiUrl(root);
  if (apiUrl === undefined)
    throw new UsageError('no Prefect server runs here: npm start, or set PREFECT_API_URL');
  return apiUrl;
}

/** The API of the Prefect server that `npm start` runs in this project, by its process: its port may be any. */
function localApiUrl(root: string): string | undefined {
  const { local } = localPaths(root);
  for (const { args } of listProcesses()) {
    const port = / server start .*--port (\d+)/.exec(args)?.[1];
    if (port !== undefined && args.includes(`${local}/python-`)) return `http://127.0.0.1:${port}/api`;
  }
  return undefined;
}
