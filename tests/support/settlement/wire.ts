import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface Wire {
  /** The target's URL, with the wire's port. */
  url: string;
  /** When each connection was made, milliseconds since 1970. */
  connections: number[];
  /** `cut`: connections are reset. `silent`: they are taken, and nothing goes through any more, either way. */
  become(state: 'whole' | 'cut' | 'silent'): void;
  close(): Promise<void>;
}

/** A TCP connection to a server that can be cut, or go silent without a word as a firewall does it. */
export async function startWire(target: string): Promise<Wire> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let state: 'whole' | 'cut' | 'silent' = 'whole';
  const server = createServer((client) => {
    wire.connections.push(Date.now());
    const upstream = connect(Number(port), hostname);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on('data', (part: Buffer) => {
        if (state === 'whole') to.write(part);
      });
      from.on('error', () => from.destroy());
      from.on('close', () => {
        sockets.delete(from);
        if (state !== 'silent') to.destroy();
      });
    }
    if (state === 'cut') client.resetAndDestroy();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = new URL(target);
  url.port = String((server.address() as AddressInfo).port);
  const drop = () => {
    for (const socket of sockets) socket.destroy();
  };
  const wire: Wire = {
    url: url.href,
    connections: [],
    become: (next) => {
      state = next;
      if (next === 'cut') drop();
    },
    close: () =>
      new Promise((resolve) => {
        state = 'cut';
        drop();
        server.close(() => {
          resolve();
        });
      }),
  };
  return wire;
}
