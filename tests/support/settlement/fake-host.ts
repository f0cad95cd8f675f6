import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Post {
  /** Milliseconds since 1970. */
  at: number;
  method: string;
  path: string;
  /** In the form in which they came, e.g. `X-Notification-Key`. */
  rawHeaders: string[];
  headers: Record<string, string | undefined>;
  text: string;
  /** What is in `body`: the sentence that hosts read. */
  sentence: string;
}

/** How a post is answered: with a status (and headers), or by hand. */
export type PostAnswer =
  | number
  | { status: number; headers?: Record<string, string> }
  /** Never, until the connection ends. */
  | 'hang'
  | 'reset'
  | ((post: Post, response: ServerResponse) => void);

export interface FakeHost {
  url: string;
  /** All that was posted, in order, also what was not answered. */
  posts: Post[];
  /** Decides the answer to each post; 200 until it is set. */
  answer: (post: Post) => PostAnswer;
  /** Posts that wait for an answer, and the most that ever did at once. */
  waiting(): number;
  mostWaiting(): number;
  /** Answers those that hang. */
  release(status: number): void;
  /** Resolves when so many posts were made. */
  got(count: number): Promise<Post[]>;
  close(): Promise<void>;
}

const PATH = '/webhooks/v1/notification/';

/** A host application's webhook receiver on a free loopback port. */
export async function startFakeHost(): Promise<FakeHost> {
  const hanging = new Set<ServerResponse>();
  const watchers = new Set<() => void>();
  const posted = () => new Promise<void>((resolve) => watchers.add(resolve));
  let waiting = 0;
  let most = 0;
  const server = createServer((request, response) => {
    waiting += 1;
    most = Math.max(most, waiting);
    response.once('close', () => {
      waiting -= 1;
      hanging.delete(response);
    });
    void readPost(request).then((post) => {
      host.posts.push(post);
      for (const watcher of watchers) watcher();
      watchers.clear();
      const answer = host.answer(post);
      if (answer === 'hang') hanging.add(response);
      else if (answer === 'reset') request.socket.resetAndDestroy();
      else if (typeof answer === 'function') answer(post, response);
      else {
        const { status, headers = {} } = typeof answer === 'number' ? { status: answer } : answer;
        response.writeHead(status, headers).end();
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const host: FakeHost = {
    url: `http://127.0.0.1:${port}${PATH}`,
    posts: [],
    answer: () => 200,
    waiting: () => waiting,
    mostWaiting: () => most,
    release: (status) => {
      for (const response of hanging) response.writeHead(status).end();
    },
    got: async (count) => {
      while (host.posts.length < count) await posted();
      return host.posts;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
  return host;
}

async function readPost(request: IncomingMessage): Promise<Post> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString('utf8');
  return {
    at: Date.now(),
    method: request.method ?? '',
    path: request.url ?? '',
    rawHeaders: request.rawHeaders,
    headers: Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name, value?.toString()]),
    ),
    text,
    sentence: (JSON.parse(text) as { body: string }).body,
  };
}
