import { lstat, unlink } from 'node:fs/promises';
import { BlockList, connect, isIP } from 'node:net';

/** Where to listen, as `PREFECT_PROXY_API_HOST` and `PREFECT_PROXY_API_PORT` say it: `unix:/path` is a host here. */
export interface Address {
  host: string;
  port: number;
}

const UNIX = 'unix:';

/** The path of the unix socket that a host names; undefined where it is a host of the network. */
export function socketPath(host: string): string | undefined {
  return host.startsWith(UNIX) ? host.slice(UNIX.length) : undefined;
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8);
loopback.addAddress('::1', 'ipv6');

/** Whether only this machine reaches what listens on a host: loopback or a unix socket. */
export function isLocalHost(host: string): boolean {
  return socketPath(host) !== undefined || isLoopback(host);
}

/** Whether a name or an address of the network is that of this machine for itself. */
export function isLoopback(host: string): boolean {
  if (host.toLowerCase() === 'localhost') return true;
  const family = isIP(host);
  return family !== 0 && loopback.check(host, family === 6 ? 'ipv6' : 'ipv4');
}

/** What `serve --bind` says. @throws Error where it is neither `host:port` (`[::1]:8080`) nor `unix:/path` */
export function parseBind(bind: string): { host: string; port?: number } {
  if (socketPath(bind)) return { host: bind };
  const [, ipv6, name, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(bind) ?? [];
  const host = ipv6 ?? name;
  if (!host || Number(port) > 65_535) {
    throw new Error(`--bind ${bind}: must be host:port, e.g. 127.0.0.1:8080, or unix:/path/to/socket`);
  }
  return { host, port: Number(port) };
}

/** For people and for clients: `http://host:port` or `unix:/path`. */
export function urlOf({ host, port }: Address): string {
  if (socketPath(host)) return host;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/**
 * Removes the socket file that a killed process left behind, so that its path can be listened on.
 * @throws Error where something answers on it, or the file is no socket: neither is ours to remove
 */
export async function removeStaleSocket(path: string): Promise<void> {
  // No file, or a directory that cannot be read: listening will tell.
  const file = await lstat(path).catch(() => undefined);
  if (!file) return;
  if (!file.isSocket()) throw new Error(`${path} is there and is no socket`);
  const answer = await knock(path);
  if (answer === 'ENOENT') return;
  if (answer !== 'ECONNREFUSED') throw new Error(`${path} is in use (${answer})`);
  await unlink(path);
}

/** @returns what a connection came to: `answered`, or the code of its failure */
function knock(path: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve('answered');
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code ?? error.message);
    });
  });
}
