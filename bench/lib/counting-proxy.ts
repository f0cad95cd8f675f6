import { createServer, request, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';

export interface CountingProxy {
  /** The API root, through the proxy. */
  apiUrl: string;
  /** Requests so far, websockets included. */
  count: () => number;
  /** The same by kind: method and path, with `{}` in place of each id; the most frequent first. */
  kinds: () => [kind: string, count: number][];
  close: () => void;
}

/** Stands between a service and Prefect and counts requests; websockets go through. */
export async function startCountingProxy(apiUrl: string): Promise<CountingProxy> {
  const { hostname, port, pathname } = new URL(apiUrl);
  const counts = new Map<string, number>();
  const note = (method = '', url = '') => {
    const kind = `${method} ${kindOf(url.slice(pathname.length))}`;
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  };
  const sockets = new Set<Socket>();
  const server: Server = createServer((incoming, outgoing) => {
    const { method, url, headers } = incoming;
    note(method, url);
    const upstream = request({ hostname, port, method, path: url, headers }, (reply) => {
      outgoing.writeHead(reply.statusCode ?? 502, reply.headers);
      reply.pipe(outgoing);
    });
    upstream.on('error', () => outgoing.destroy());
    incoming.pipe(upstream);
  });
  server.on('upgrade', (incoming, socket: Socket, head) => {
    note('websocket', incoming.url);
    const upstream = connect(Number(port), hostname);
    const lines = Object.entries(incoming.headers).map(([name, value]) => `${name}: ${String(value)}`);
    upstream.write([`GET ${incoming.url ?? '/'} HTTP/1.1`, ...lines, '', ''].join('\r\n'));
    upstream.write(head);
    for (const [one, other] of [
      [socket, upstream],
      [upstream, socket],
    ] as const) {
      sockets.add(one);
      one.pipe(other);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    apiUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}${pathname}`,
    count: () => [...counts.values()].reduce((sum, count) => sum + count, 0),
    kinds: () => [...counts].sort(([, one], [, other]) => other - one),
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.closeAllConnections();
      server.close();
    },
  };
}

function kindOf(path: string): string {
  return path
    .replace(/\?.*$/, '')
    .replaceAll(/[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}/g, '{}')
    .replace(/(\/variables\/name\/)[^/]+/, '$1{}');
}
