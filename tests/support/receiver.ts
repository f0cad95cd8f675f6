import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Received {
  path: string;
  key: string | undefined;
  body: unknown;
}

export interface Receiver {
  /** Without a path. */
  url: string;
  /** Everything that was posted, in order. */
  received: Received[];
  /** The status of the next answers; 200 until it is set. */
  status: number;
  /** Awaited before the answer. */
  onPost: (post: Received) => void | Promise<void>;
  close(): Promise<void>;
}

/** Takes webhooks on a free loopback port, and answers as the facade does. */
export async function startReceiver(): Promise<Receiver> {
  const server = createServer((request, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const post = {
        path: request.url ?? '',
        key: request.headersDistinct['x-notification-key']?.[0],
        body: JSON.parse(Buffer.concat(chunks).toString()) as unknown,
      };
      receiver.received.push(post);
      void Promise.resolve(receiver.onPost(post)).finally(() => {
        response.writeHead(receiver.status, { 'content-type': 'application/json' }).end('{"status":"ok"}');
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const receiver: Receiver = {
    url: `http://127.0.0.1:${port}`,
    received: [],
    status: 200,
    onPost: () => undefined,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
  return receiver;
}
