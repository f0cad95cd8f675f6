import { isIP } from 'node:net';
import type { Config } from '../config.js';
import { isLocalHost, isLoopback, socketPath } from '../process/address.js';

/**
 * Which hostnames (of the `Host` header, in lower case) a facade answers to: its callers are not asked for a key, so a
 * web page must not reach it by a DNS name that points here. An address cannot be rebound, a name without a dot only by
 * the local network: they are accepted where others than this machine may call (ALLOW_UNAUTHENTICATED).
 * @returns undefined if it answers to any: with a key, and on a unix socket, which no browser opens
 */
export function acceptedHosts(config: Config): ((hostname: string) => boolean) | undefined {
  const { PREFECT_PROXY_API_HOST: own, PROXY_ALLOWED_HOSTS: allowed, WEBHOOK_PUBLIC_URL: webhook } = config;
  if (config.PROXY_API_KEY.length > 0 || socketPath(own) !== undefined || allowed.includes('*'))
    return undefined;
  const names = new Set([own.toLowerCase(), ...allowed]);
  // Prefect calls it by this name.
  if (webhook !== undefined) names.add(new URL(webhook).hostname.replace(/^\[(.*)\]$/, '$1'));
  const suffixes = allowed.filter((name) => name.startsWith('*.')).map((name) => name.slice(1));
  const servesOthers = !isLocalHost(own);
  return (given) => {
    // `localhost.` is the same name, fully qualified.
    const hostname = given.replace(/\.$/, '');
    return (
      isLoopback(hostname) ||
      hostname.endsWith('.localhost') ||
      names.has(hostname) ||
      suffixes.some((suffix) => hostname.endsWith(suffix)) ||
      (servesOthers && (isIP(hostname) !== 0 || /^[^.:]+$/.test(hostname)))
    );
  };
}
