#!/usr/bin/env node
import cluster from 'node:cluster';
import { Command } from 'commander';
import { commandOutput, complain, guardStderr } from './commands/output.js';
import { loadConfig, loadDotenv, type Config } from './config.js';
import type { FlowsDeployFlags } from './process/flows-deploy.js';
import type { DeliveriesCommand } from './process/deliveries-command.js';

/** The project's root: the bundle and the sources are each one directory below it. */
const root = new URL('..', import.meta.url).pathname;
guardStderr();

const FACADE = [
  '--url <url>',
  'where the facade is, e.g. http://x:KEY@host:8080; by default the one that npm start runs in this folder, ' +
    'or at PREFECT_PROXY_API_HOST if PREFECT_API_URL is set',
] as const;

const program = new Command('prefect-proxy')
  .description('A REST facade over the Prefect orchestrator')
  .showHelpAfterError()
  .configureOutput({ writeErr: complain });

program
  .command('serve', { isDefault: true })
  .description('serve the facade; without PREFECT_API_URL with a Prefect server and a worker of its own')
  .option('--bind <address>', 'host:port or unix:/path (PREFECT_PROXY_API_HOST, PREFECT_PROXY_API_PORT)')
  .option('--workers <number>', 'worker processes (WEB_CONCURRENCY)')
  .action(async (options: { bind?: string; workers?: string }) => {
    if (cluster.isWorker) {
      const { runWorker } = await import('./process/worker.js');
      await runWorker(() => readConfig());
      return;
    }
    const givenEnv = { ...process.env };
    const { parseBind } = await import('./process/address.js');
    const { host, port } = options.bind === undefined ? {} : parseBind(options.bind);
    const config = await readConfig({
      ...(host !== undefined && { PREFECT_PROXY_API_HOST: host }),
      ...(port !== undefined && { PREFECT_PROXY_API_PORT: String(port) }),
      ...(options.workers !== undefined && { WEB_CONCURRENCY: options.workers }),
    });
    const { run } = await import('./process/run.js');
    // What could not be finished in time must not hold up the end.
    process.exit(await run({ config, givenEnv, root }));
  });

program
  .command('demo')
  .description('try a running facade: make, run, follow, read, delete')
  .option(...FACADE)
  .action(async ({ url }: { url?: string }) => {
    const config = await readConfig();
    const { findFacade } = await import('./commands/targets.js');
    const { runDemo } = await import('./demo.js');
    const { say: write } = commandOutput();
    const baseUrl = url ?? findFacade(config, root);
    const passed = await runDemo({ baseUrl, apiKey: ownKey(config), write });
    process.exitCode = passed ? 0 : 1;
  });

program
  .command('openapi')
  .description('print the OpenAPI 3.1 document')
  .action(async () => {
    const { describeApi } = await import('./serve.js');
    const { say } = commandOutput();
    for (const line of JSON.stringify(describeApi(), null, 2).split('\n')) say(line);
  });

const webhook = program
  .command('webhook')
  .description('the webhook by which Prefect tells the facade that a run has ended');
for (const [name, description] of [
  ['register', 'make the block and the automation at Prefect, or mend them'],
  ['status', 'show what is registered and what is wrong with it (exit code 1)'],
  ['test', 'let a run end at Prefect and follow the notification'],
  ['unregister', 'delete the block and the automation'],
] as const) {
  webhook
    .command(name)
    .description(description)
    .action(async () => {
      const config = await readConfig();
      const { runWebhookCommand } = await import('./process/webhook-command.js');
      process.exitCode = await runWebhookCommand(name, { config, root, say: commandOutput().say });
    });
}

const deliveries = program
  .command('deliveries')
  .description('which ends of runs the host was told of by a running facade, and telling it again');
const SINCE = 'ended then or later: 90s, 30m, 2h or 3d ago, or a time';
const UNTIL = 'ended then or earlier; now by default';

deliveries
  .command('list')
  .description('list runs that ended, the latest first')
  .option('--state <state>', 'pending, delivered or dead')
  .option('--since <time>', `${SINCE}; 24h by default`)
  .option('--until <time>', UNTIL)
  .option('--json', 'all fields, as JSON')
  .option(...FACADE)
  .action(async ({ url, ...options }: ListOptions) => {
    await runDeliveries({ name: 'list', ...options }, url);
  });

deliveries
  .command('replay <flow-run-id>')
  .description("tell the host again of a run's end, under the same webhook-id")
  .option(...FACADE)
  .action(async (flowRunId: string, { url }: { url?: string }) => {
    await runDeliveries({ name: 'replay', flowRunId }, url);
  });

deliveries
  .command('recover')
  .description('tell the host again of all runs of a time that were not delivered')
  .requiredOption('--since <time>', SINCE)
  .option('--until <time>', UNTIL)
  .option('--state <state>', 'only these: pending or dead; all: those that were delivered, too')
  .option(...FACADE)
  .action(async ({ url, ...options }: RecoverOptions) => {
    await runDeliveries({ name: 'recover', ...options }, url);
  });

program
  .command('flows')
  .description('the example flows of flows/examples')
  .command('deploy')
  .description('deploy them with a schedule, or mend their deployments')
  .option('--paused', 'without running them; also pauses those that are there')
  .option('--no-paused', 'resume those that are paused, too')
  .option('--only <name...>', 'these flows only')
  .option('--pool <name>', 'work pool (DEFAULT_WORK_POOL_NAME)')
  .option('--queue <name>', 'work queue (DEFAULT_WORK_QUEUE_NAME)')
  .option('--interval <seconds>', 'between two runs', '300')
  .action(async (flags: FlowsDeployFlags) => {
    const config = await readConfig();
    const { runFlowsDeploy } = await import('./process/flows-deploy.js');
    process.exitCode = await runFlowsDeploy(flags, { config, root, say: commandOutput().say });
  });

program.parseAsync().catch((error: unknown) => {
  complain(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
});

/** @param over wins over the environment */
async function readConfig(over: Record<string, string> = {}): Promise<Config> {
  const namesInFile = await loadDotenv();
  return loadConfig({ ...process.env, ...over }, namesInFile);
}

/** What our own commands send to a facade; the first of several: all of them are accepted. */
function ownKey({ PROXY_API_KEY: [first] }: Config): string | undefined {
  return first;
}

type ListOptions = { url?: string } & Omit<Extract<DeliveriesCommand, { name: 'list' }>, 'name'>;
type RecoverOptions = { url?: string } & Omit<Extract<DeliveriesCommand, { name: 'recover' }>, 'name'>;

async function runDeliveries(command: DeliveriesCommand, url: string | undefined): Promise<void> {
  const config = await readConfig();
  const { runDeliveriesCommand } = await import('./process/deliveries-command.js');
  const options = { config, root, url, apiKey: ownKey(config), ...commandOutput() };
  process.exitCode = await runDeliveriesCommand(command, options);
}
