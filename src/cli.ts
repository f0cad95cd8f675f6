#!/usr/bin/env node
import { Command } from 'commander';
import { loadConfig, loadDotenv, type Config } from './config.js';

/** The project's root: the bundle and the sources are each one directory below it. */
const root = new URL('..', import.meta.url).pathname;
const say = (line: string) => void process.stdout.write(`${line}\n`);

const program = new Command('prefect-proxy')
  .description('A REST facade over the Prefect orchestrator')
  .showHelpAfterError();

program
  .command('serve', { isDefault: true })
  .description('serve the facade; without PREFECT_API_URL with a Prefect server and a worker of its own')
  .action(async () => {
    const config = await readConfig();
    const { run } = await import('./process/run.js');
    process.exitCode = await run({ config, root, say });
  });

program
  .command('demo')
  .description('try a running facade: make, run, follow, read, delete')
  .option('--url <url>', 'where the facade is; the one started here last by default')
  .action(async ({ url }: { url?: string }) => {
    const { findFacade, runDemo } = await import('./demo.js');
    const passed = await runDemo({ baseUrl: url ?? findFacade(root), write: say });
    process.exitCode = passed ? 0 : 1;
  });

program
  .command('openapi')
  .description('print the OpenAPI 3.1 document')
  .action(async () => {
    const { describeApi } = await import('./serve.js');
    say(JSON.stringify(describeApi(), null, 2));
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
      process.exitCode = await runWebhookCommand(name, { config, root, say });
    });
}

program.parseAsync().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});

async function readConfig(): Promise<Config> {
  await loadDotenv();
  return loadConfig(process.env);
}
