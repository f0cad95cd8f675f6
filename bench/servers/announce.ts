import type { AddressInfo } from 'node:net';
import type { ServerType } from '@hono/node-server';

/** Listens on a free port of loopback and writes where, for the bench to read. */
export function announce(server: ServerType): void {
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address() as AddressInfo;
    process.stdout.write(`listening http://127.0.0.1:${port}\n`);
  });
}
