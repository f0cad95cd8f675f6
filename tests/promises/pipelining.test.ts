import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { limitPipelining } from '../../src/http/pipelining.js';
import { contract } from '../support/contract.js';
import { RawClient, repliesIn } from '../support/raw-client.js';

const LIMIT = 16;
const c = contract({ PREFECT_API_RETRY: 'false' });

/** What is open at the end of a test. */
const opened: { server: Server; sockets: Socket[] }[] = [];
afterEach(() => {
  for (const { server, sockets } of opened.splice(0)) {
    for (const socket of sockets) socket.destroy();
    server.close();
    server.closeAllConnections();
  }
});

interface Arrival {
  path: string;
  request: IncomingMessage;
  response: ServerResponse;
}

interface Bare {
  /** The requests that were parsed, in their order. */
  arrived: Arrival[];
  connect: () => Promise<Client>;
}

class Client {
  received = '';
  constructor(readonly socket: Socket) {
    socket.setEncoding('latin1').on('data', (part: string) => (this.received += part));
  }

  /** The bodies of the replies, as far as they have come. */
  bodies(): string[] {
    return [...this.received.matchAll(/<([^>]*)>/g)].map(([, body]) => body!);
  }
}

/** A server that answers nothing by itself. */
async function startBare(limit = LIMIT, answer?: (arrival: Arrival) => void): Promise<Bare> {
  const arrived: Arrival[] = [];
  const server = createServer((request, response) => {
    const arrival = { path: request.url ?? '', request, response };
    arrived.push(arrival);
    answer?.(arrival);
  });
  limitPipelining(server, () => limit);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const sockets: Socket[] = [];
  opened.push({ server, sockets });
  return {
    arrived,
    connect: async () => {
      const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
      sockets.push(socket);
      await once(socket, 'connect');
      return new Client(socket);
    },
  };
}

const get = (path: string | number) => `GET /${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`;
const post = (path: string | number, body: string) =>
  `POST /${path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
const numbers = (count: number) => Array.from({ length: count }, (_, n) => n);
const reply = ({ path, response }: Arrival) => response.end(`<${path}>`);

describe('Requests of one connection', () => {
  it('are parsed up to the limit, and more as those before are answered', async () => {
    const { arrived, connect: open } = await startBare();
    const client = await open();
    client.socket.write(numbers(1_000).map(get).join(''));
    await expect.poll(() => arrived.length).toBe(LIMIT);
    // All has come that can come by now: another connection is served in the meantime.
    const other = await open();
    other.socket.write(get('other'));
    await expect.poll(() => arrived.at(-1)?.path).toBe('/other');
    expect(arrived).toHaveLength(LIMIT + 1);
    reply(arrived[LIMIT]!);
    await expect.poll(() => other.bodies()).toEqual(['/other']);

    for (const one of arrived.slice(0, 5)) reply(one);
    await expect.poll(() => arrived.length).toBe(LIMIT + 1 + 5);
    expect(client.bodies().length).toBeLessThanOrEqual(5);
  });

  it.each([1, 2, LIMIT])('are answered in their order, all of them, with a limit of %d', async (limit) => {
    const { arrived, connect: open } = await startBare(limit, (one) => setImmediate(reply, one));
    const client = await open();
    client.socket.write(numbers(500).map(get).join(''));
    await expect.poll(() => client.bodies().length, { timeout: 10_000 }).toBe(500);
    expect(client.bodies()).toEqual(numbers(500).map((n) => `/${n}`));
    expect(arrived).toHaveLength(500);
  });

  it('may be answered in another order than they came', async () => {
    const { arrived, connect: open } = await startBare(4);
    const client = await open();
    client.socket.write(numbers(8).map(get).join(''));
    await expect.poll(() => arrived.length).toBe(4);
    for (const one of arrived.slice(0, 4).reverse()) reply(one);
    await expect.poll(() => arrived.length).toBe(8);
    for (const one of arrived.slice(4).reverse()) reply(one);
    await expect.poll(() => client.bodies()).toEqual(numbers(8).map((n) => `/${n}`));
  });

  it('have their bodies whole, whatever is in them and however it is cut', async () => {
    const bodies: string[] = [];
    const { connect: open } = await startBare(2, (one) => {
      let body = '';
      one.request.setEncoding('latin1').on('data', (part: string) => (body += part));
      one.request.on('end', () => {
        bodies.push(body);
        reply(one);
      });
    });
    const sent = ['', 'x', '\r\n\r\n', `${'\r\n\r\n'.repeat(20_000)}end`, get('inner'), 'y'.repeat(300_000)];
    const text = sent.map((body, n) => post(n, body)).join('');
    for (const size of [text.length, 1_000, 7_919]) {
      bodies.length = 0;
      const client = await open();
      for (let from = 0; from < text.length; from += size) client.socket.write(text.slice(from, from + size));
      await expect.poll(() => client.bodies().length, { timeout: 10_000 }).toBe(sent.length);
      expect(bodies.map((body) => body.length)).toEqual(sent.map((body) => body.length));
      expect(bodies).toEqual(sent);
    }
  });

  it('are answered although their client says that no more is coming', async () => {
    const { connect: open } = await startBare(LIMIT, reply);
    const client = await open();
    client.socket.end(numbers(100).map(get).join(''));
    await once(client.socket, 'close');
    expect(client.bodies()).toEqual(numbers(100).map((n) => `/${n}`));
  });

  it('go on when replies are taken late', async () => {
    const large = 'z'.repeat(100_000);
    const { connect: open } = await startBare(LIMIT, ({ path, response }) =>
      response.end(`<${path}>${large}`),
    );
    const client = await open();
    client.socket.pause();
    client.socket.write(numbers(200).map(get).join(''));
    const other = await open();
    other.socket.write(get('other'));
    await expect.poll(() => other.bodies()).toEqual(['/other']);
    client.socket.resume();
    await expect.poll(() => client.bodies().length, { timeout: 10_000 }).toBe(200);
  });
});

describe('A facade', () => {
  const TOTAL = 100_000;
  const unknown = (n: number) => `GET /nope HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: q${n}\r\n\r\n`;

  it('answers 100,000 requests of one connection in order, from little memory, and others meanwhile', async () => {
    const socket = connect(Number(new URL(c.facade.url).port), '127.0.0.1');
    let rest = '';
    let answered = 0;
    let isInOrder = true;
    socket.setEncoding('latin1').on('data', (part: string) => {
      const replies = (rest + part).split('x-request-id: ');
      // The last one may be cut.
      rest = `x-request-id: ${replies.pop() ?? ''}`;
      for (const text of replies.filter((one) => one.startsWith('q'))) {
        isInOrder &&= text.startsWith(`q${answered}\r\n`);
        answered += 1;
      }
    });
    await once(socket, 'connect');
    const before = c.facade.arrived() - c.facade.lines.length;
    let ahead = 0;
    const watch = setInterval(() => {
      ahead = Math.max(ahead, c.facade.arrived() - before - c.facade.lines.length);
    }, 1);
    const batch = 1_000;
    for (let sent = 0; sent < TOTAL; sent += batch) {
      const text = numbers(batch).map((n) => unknown(sent + n));
      if (!socket.write(text.join(''))) await once(socket, 'drain');
      if (sent % 20_000 === 0) {
        // It would wait for all that has been sent, were that parsed.
        const began = performance.now();
        expect((await c.host.get('/nope')).status).toBe(404);
        expect(performance.now() - began).toBeLessThan(5_000);
      }
    }
    // Another one ends the last reply.
    socket.write(unknown(TOTAL));
    await expect.poll(() => answered, { timeout: 200_000, interval: 100 }).toBe(TOTAL);
    clearInterval(watch);
    socket.destroy();
    expect(isInOrder).toBe(true);
    // Those of the pipeline, and the one beside it.
    expect(ahead).toBeLessThanOrEqual(LIMIT + 1);
  }, 300_000);

  it('answers what is right before what is no HTTP, in order', async () => {
    const healthy = 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(40);
    const replies = repliesIn(await new RawClient(c.facade.url).send(`${healthy}nonsense\r\n\r\n`).closed);
    expect(replies.slice(0, 40).map(({ status }) => status)).toEqual(numbers(40).map(() => 200));
  });
});
