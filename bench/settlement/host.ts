import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A host that takes every notification, and remembers when it came. */
export interface Host {
  url: string;
  /** Milliseconds since the epoch by `webhook-id`, of the first one that came under it. */
  arrivals: Map<string, number>;
  /** Notifications, those that came again included. */
  count: () => number;
  close: () => void;
}

export async function startHost(): Promise<Host> {
  const arrivals = new Map<string, number>();
  let count = 0;
  const server = createServer((request, response) => {
    const id = String(request.headers['webhook-id']);
    request.resume().on('end', () => {
      count += 1;
      if (!arrivals.has(id)) arrivals.set(id, Date.now());
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/webhooks/v1/notification/`,
    arrivals,
    count: () => count,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
