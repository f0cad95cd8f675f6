import type { Config } from '../config.js';
import { urlOf } from '../process/address.js';
import { findRunning, type RunningStack } from '../process/local/run-file.js';

/** A command does not know which Prefect server or which facade is meant. The message says what to do. */
export class NoTargetError extends Error {
  override readonly name = 'NoTargetError';
}

/** What a command talks to. */
export interface Targets {
  /** As that of the facade: the address of Prefect's API is known, and so is the webhook key of a local stack. */
  config: Config & { PREFECT_API_URL: string };
  facadeUrl: string;
}

/**
 * Finds the Prefect server and its facade: those of the configuration if PREFECT_API_URL is set, else the local stack
 * that runs in this folder, on the ports that it took. Never a default address: another Prefect server may listen there.
 * @param root the project's root
 * @throws NoTargetError
 */
export function findTargets(config: Config, root: string): Targets {
  const { PREFECT_API_URL: apiUrl } = config;
  if (apiUrl !== undefined) {
    return { config: { ...config, PREFECT_API_URL: apiUrl }, facadeUrl: configuredFacade(config) };
  }
  const stack = runningStack(root, 'set PREFECT_API_URL');
  return {
    config: {
      ...config,
      PREFECT_API_URL: stack.apiUrl,
      PREFECT_NOTIFICATIONS_WEBHOOK_KEY: [stack.webhookKey],
    },
    facadeUrl: stack.url,
  };
}

/**
 * Finds the facade alone.
 * @returns its URL: `http://host:port` or `unix:/path`
 * @throws NoTargetError
 */
export function findFacade(config: Config, root: string): string {
  if (config.PREFECT_API_URL !== undefined) return reachable(configuredFacade(config));
  return reachable(runningStack(root, 'say with --url where the facade is').url);
}

function configuredFacade({ PREFECT_PROXY_API_HOST: host, PREFECT_PROXY_API_PORT: port }: Config): string {
  return urlOf({ host, port });
}

/** A facade that listens on every address is reached on loopback. */
function reachable(url: string): string {
  return url.replace('//0.0.0.0:', '//127.0.0.1:').replace('//[::]:', '//[::1]:');
}

function runningStack(root: string, otherwise: string): RunningStack {
  const stack = findRunning(root);
  if (stack === 'starting') throw new NoTargetError('npm start is still starting in this folder: try again');
  if (stack) return stack;
  throw new NoTargetError(
    `PREFECT_API_URL is not set, and npm start does not run in this folder: start it, or ${otherwise}`,
  );
}
