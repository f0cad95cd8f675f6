import { BlockList, isIP } from 'node:net';

/** The usual variables, as a configuration holds them. */
export interface ProxyVariables {
  HTTP_PROXY?: string | undefined;
  HTTPS_PROXY?: string | undefined;
  ALL_PROXY?: string | undefined;
  NO_PROXY: readonly string[];
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8);
loopback.addAddress('::1', 'ipv6');

/**
 * The proxy for a URL, by the rules of Prefect's own client (httpx): HTTP_PROXY for http, HTTPS_PROXY for https, else
 * ALL_PROXY. NO_PROXY lists names (with their subdomains), `.names` (subdomains only), addresses, networks
 * (`10.0.0.0/8`), each with a port if wanted, or `*`. Unlike httpx, loopback is never reached through a proxy: another
 * machine's loopback is another one.
 * @returns the proxy's URL; undefined: directly
 */
export function proxyFor(target: string, variables: ProxyVariables): string | undefined {
  const { protocol, hostname, port } = new URL(target);
  const host = hostname.replace(/^\[|\]$/g, '');
  const effectivePort = port || (protocol === 'https:' ? '443' : '80');
  if (isLoopback(host)) return undefined;
  if (variables.NO_PROXY.some((entry) => matches(entry.toLowerCase(), host, effectivePort))) return undefined;
  const own = protocol === 'https:' ? variables.HTTPS_PROXY : variables.HTTP_PROXY;
  return own ?? variables.ALL_PROXY;
}

function isLoopback(host: string): boolean {
  if (host === 'localhost' || host.endsWith('.localhost')) return true;
  return isInList(loopback, host);
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true;
  const [, name = entry, wantedPort] = /^(.+?):(\d+)$/.exec(isIP(entry) ? '' : entry) ?? [];
  if (wantedPort !== undefined && wantedPort !== port) return false;
  const plain = name.replace(/^[a-z]+:\/\//, '').replace(/^\[|\]$/g, '');
  if (plain.includes('/')) return isInNetwork(plain, host);
  if (plain === host) return true;
  if (isIP(host)) return false;
  return host.endsWith(plain.replace(/^\*?\.?/, '.'));
}

function isInNetwork(network: string, host: string): boolean {
  const [address = '', bits = ''] = network.split('/');
  const family = isIP(address);
  const prefix = Number(bits);
  if (family === 0 || !/^\d+$/.test(bits) || prefix > (family === 6 ? 128 : 32)) return false;
  const list = new BlockList();
  list.addSubnet(address, prefix, family === 6 ? 'ipv6' : 'ipv4');
  return isInList(list, host);
}

function isInList(list: BlockList, host: string): boolean {
  const family = isIP(host);
  return family !== 0 && list.check(host, family === 6 ? 'ipv6' : 'ipv4');
}
