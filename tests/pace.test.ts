import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { pace } from '../src/http/pace.js';

let server: Server;
let socket: Socket;
/** The paths of the requests that were begun, turn by turn. */
let turns: string[][];
beforeEach(async () => {
  turns = [];
  let turn: string[] | undefined;
  server = createServer();
  const note = (url: string) => {
    if (!turn) {
      turns.push((turn = []));
      setImmediate(() => (turn = undefined));
    }
    turn.push(url);
  };
  pace(
    server,
    (request, response) => {
      note(request.url ?? '');
      response.end('ok');
    },
    (path) => path === '/urgent',
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  await once(socket, 'connect');
});
afterEach(async () => {
  socket.destroy();
  server.close();
  server.closeAllConnections();
  await once(server, 'close');
});

/** Requests that come in one piece. */
function send(paths: string[]): void {
  socket.write(paths.map((path) => `GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`).join(''));
}
const numbers = (count: number) => Array.from({ length: count }, (_, n) => `/${n}`);
const begun = (count: number) => expect.poll(() => turns.flat().length, { interval: 2 }).toBe(count);

describe('Many requests at once', () => {
  it('are begun a few a turn, in their order, all of them', async () => {
    send(numbers(300));
    await begun(300);
    expect(turns.flat()).toEqual(numbers(300));
    // Those that come are begun, and at the end of the turn so many of those that wait.
    expect(Math.max(...turns.map(({ length }) => length))).toBeLessThanOrEqual(2 * 32);
  });

  it('do not hold up the one that is urgent', async () => {
    send([...numbers(100), '/urgent']);
    await begun(101);
    expect(turns[0]).toContain('/urgent');
  });

  it('a few are begun at once', async () => {
    send(numbers(10));
    await begun(10);
    expect(turns).toEqual([numbers(10)]);
  });
});
