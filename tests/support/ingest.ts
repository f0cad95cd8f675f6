import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';

export interface Item {
  /** `event`, `transaction`, `profile_chunk` ... */
  type: string;
  payload: Record<string, unknown>;
}

export interface Ingest {
  /** For SENTRY_DSN. */
  dsn: string;
  items: Item[];
  /** All that was sent, as it was. */
  received: string[];
  /** Resolves with the items of a type, once there are so many. */
  got(type: string, count?: number): Promise<Item['payload'][]>;
  close(): Promise<void>;
}

/** Takes what an SDK sends to Sentry, on a free loopback port. */
export async function startIngest(): Promise<Ingest> {
  const items: Item[] = [];
  const received: string[] = [];
  const waiting = new Set<() => void>();
  const server = createServer((request, response) => {
    void buffer(request).then((bytes) => {
      const envelope = (
        request.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes
      ).toString();
      received.push(JSON.stringify([request.url, request.headers]), envelope);
      items.push(...itemsOf(envelope));
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
      for (const check of waiting) check();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const ofType = (type: string) => items.filter((item) => item.type === type).map(({ payload }) => payload);
  return {
    dsn: `http://public@127.0.0.1:${(server.address() as AddressInfo).port}/7`,
    items,
    received,
    got: (type, count = 1) =>
      new Promise((resolve) => {
        const check = () => {
          if (ofType(type).length < count) return;
          waiting.delete(check);
          resolve(ofType(type));
        };
        waiting.add(check);
        check();
      }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

/** An envelope is a header line, and then two lines for each item: its header and its payload. */
function itemsOf(envelope: string): Item[] {
  const [, ...lines] = envelope.split('\n').filter((line) => line !== '');
  return lines.flatMap((line, index) => {
    if (index % 2 === 1) return [];
    const { type } = JSON.parse(line) as { type: string };
    return [{ type, payload: JSON.parse(lines[index + 1] ?? '{}') as Item['payload'] }];
  });
}
