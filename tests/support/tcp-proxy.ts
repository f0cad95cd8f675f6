import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** What happens to a connection; looked at when it is made, and again before each part of a reply. */
export interface Trouble {
  /** Closes new connections at once. */
  refuse?: boolean;
  /** Resets the connection once this many bytes of replies went through it. */
  resetAfterBytes?: number;
  /** Closes it in good order once this many bytes of replies went through it. */
  closeAfterBytes?: number;
  /** Holds each part of a reply back. */
  delayMs?: number;
}

export interface TcpProxy {
  /** As the orchestrator's, with the proxy's port. */
  url: string;
  /** Connections made so far. */
  connections: number;
  open(): number;
  /** Decides for each connection, by its number from 1. */
  trouble: (connection: number) => Trouble;
  /** Closes all connections, as a server does with those that were idle for too long. */
  dropAll(): void;
  close(): Promise<void>;
}

/** A TCP proxy in front of an orchestrator, for what goes wrong below HTTP. */
export async function startTcpProxy(apiUrl: string): Promise<TcpProxy> {
  const target = new URL(apiUrl);
  const own = new URL(apiUrl);
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    proxy.connections += 1;
    const number = proxy.connections;
    if (proxy.trouble(number).refuse) {
      client.resetAndDestroy();
      return;
    }
    const upstream = connect(Number(target.port), target.hostname);
    sockets.add(client);
    let sent = 0;
    client.pipe(upstream);
    upstream.on('data', (part: Buffer) => {
      const { delayMs = 0 } = proxy.trouble(number);
      if (delayMs > 0) {
        upstream.pause();
        setTimeout(() => {
          upstream.resume();
          pass(part);
        }, delayMs);
      } else {
        pass(part);
      }
    });
    const pass = (part: Buffer) => {
      const { resetAfterBytes = Infinity, closeAfterBytes = Infinity } = proxy.trouble(number);
      const room = Math.min(resetAfterBytes, closeAfterBytes) - sent;
      sent += part.length;
      if (part.length < room) {
        client.write(part);
      } else if (resetAfterBytes <= closeAfterBytes) {
        client.write(part.subarray(0, room), () => client.resetAndDestroy());
      } else {
        client.end(part.subarray(0, room));
      }
    };
    upstream.on('end', () => client.end());
    for (const socket of [client, upstream]) socket.on('error', () => socket.destroy());
    client.on('close', () => {
      sockets.delete(client);
      upstream.destroy();
    });
    upstream.on('close', () => client.end());
  });
  const proxy: TcpProxy = {
    url: '',
    connections: 0,
    open: () => sockets.size,
    trouble: () => ({}),
    dropAll: () => {
      for (const socket of sockets) socket.end();
    },
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => {
          resolve();
        });
      }),
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  own.port = String((server.address() as AddressInfo).port);
  proxy.url = own.href;
  return proxy;
}

/** Where nothing listens. */
export async function unusedUrl(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) =>
    server.close(() => {
      resolve();
    }),
  );
  return `http://127.0.0.1:${port}`;
}
