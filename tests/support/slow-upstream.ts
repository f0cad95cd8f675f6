import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface SlowUpstream {
  /** The API's URL, ending in `/api`. */
  apiUrl: string;
  /** From now on who asks for the version waits until it is released. */
  hold(): void;
  /** Resolves when so many calls wait. */
  held(count: number): Promise<void>;
  release(): void;
  close(): Promise<void>;
}

/** An orchestrator that knows its version only; each reply takes 5 ms, which keeps a test's load modest. */
export async function startSlowUpstream(version: string): Promise<SlowUpstream> {
  let isHolding = false;
  let waiting: (() => void)[] = [];
  let onHeld = () => {};
  const server = createServer((request, response) => {
    const reply = () => {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(version));
    };
    if (!isHolding || !request.url?.endsWith('/version')) setTimeout(reply, 5);
    else {
      waiting.push(reply);
      onHeld();
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    apiUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/api`,
    hold: () => {
      isHolding = true;
    },
    held: (count) =>
      new Promise((resolve) => {
        onHeld = () => {
          if (waiting.length >= count) resolve();
        };
        onHeld();
      }),
    release: () => {
      isHolding = false;
      for (const reply of waiting) reply();
      waiting = [];
    },
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
