import type { Config } from '../config.js';
import { createClient } from '../create-client.js';
import { ensureWebhook, removeWebhook, type WebhookChange } from '../services/webhook-registration.js';
import { webhookStatus } from '../services/webhook-status.js';
import { WebhookSetupError, webhookTarget } from '../services/webhook-target.js';
import { testWebhook } from '../services/webhook-test.js';
import type { PrefectClient } from '../prefect/client.js';
import { UpstreamError } from '../prefect/errors.js';
import { findTargets } from '../commands/targets.js';

export type WebhookCommand = 'register' | 'status' | 'test' | 'unregister';

interface CommandOptions {
  config: Config;
  /** The project's root. */
  root: string;
  say: (line: string) => void;
}

interface Context {
  client: PrefectClient;
  config: Config & { PREFECT_API_URL: string };
  facadeUrl: string;
  say: (line: string) => void;
}

const TEST_TIMEOUT_MS = 30_000;

const COMMANDS: Record<WebhookCommand, (context: Context) => Promise<boolean>> = {
  register: async ({ client, config, facadeUrl, say }) => {
    const target = webhookTarget(config, facadeUrl);
    say(`webhook              ${target.url}`);
    sayChanges(await ensureWebhook(client, target), say);
    if (config.WEBHOOK_AUTO_REGISTER === 'auto')
      say('The next start removes it where the events websocket works; WEBHOOK_AUTO_REGISTER=true keeps it.');
    return true;
  },
  unregister: async ({ client, say }) => {
    const changes = await removeWebhook(client);
    sayChanges(changes, say);
    if (changes.length === 0) say('nothing was registered');
    return true;
  },
  status: async ({ client, config, facadeUrl, say }) => {
    const { target, block, trigger, noun, isNotNeeded, problems } = await webhookStatus(
      client,
      config,
      facadeUrl,
    );
    if (isNotNeeded) {
      say('✓ no webhook is registered, and none is needed: the events websocket opens');
      for (const { text } of problems) say(`✗ ${text}`);
      return problems.length === 0;
    }
    say(`webhook              ${target?.url ?? 'not configured'}`);
    say(`block                ${block?.id ?? 'none'}`);
    say(`${noun.padEnd(20)} ${trigger?.id ?? 'none'}`);
    for (const { text } of problems) say(`✗ ${text}`);
    if (problems.length === 0) say('✓ registered, switched on, reachable from here');
    return problems.length === 0;
  },
  test: async (context) => {
    const came = await testWebhook({
      ...context,
      timeoutMs: TEST_TIMEOUT_MS,
      onHop: ({ name, after, failure }) => {
        context.say(
          `${failure === undefined ? '✓' : '✗'} ${name.padEnd(64)} ${String(after).padStart(6)} ms`,
        );
        if (failure !== undefined) context.say(`    ${failure}`);
      },
    });
    context.say(came ? 'The notification came through.' : 'The notification did not come through.');
    return came;
  },
};

/**
 * Runs one of the webhook commands.
 * @returns the exit code: 0 if all is well
 * @throws NoTargetError
 */
export async function runWebhookCommand(name: WebhookCommand, options: CommandOptions): Promise<number> {
  const { root, say } = options;
  const { config, facadeUrl } = findTargets(options.config, root);
  const client = createClient(config, config.PREFECT_API_URL);
  try {
    const isWell = await COMMANDS[name]({ client, config, facadeUrl, say });
    return isWell ? 0 : 1;
  } catch (error) {
    if (!(error instanceof WebhookSetupError || error instanceof UpstreamError)) throw error;
    say(
      `✗ ${error.message}${error instanceof UpstreamError ? ` (${new URL(config.PREFECT_API_URL).host})` : ''}`,
    );
    return 1;
  } finally {
    await client.close();
  }
}

function sayChanges(changes: WebhookChange[], say: (line: string) => void): void {
  for (const { what, id, done, fields } of changes)
    say(`${what.padEnd(20)} ${id} ${done}${fields ? `: ${fields.join(', ')}` : ''}`);
}
