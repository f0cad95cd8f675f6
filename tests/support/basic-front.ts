import { once } from 'node:events';
import { createServer, request, type IncomingMessage } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';

/** A reverse proxy that asks for Basic before it passes anything on: requests and websocket handshakes. */
export async function startBasicFront(target: string, login: string) {
  const { port, pathname } = new URL(target);
  const wanted = `Basic ${Buffer.from(login).toString('base64')}`;
  const handshakes: IncomingMessage['headers'][] = [];
  const sockets = new Set<Socket>();
  const server = createServer((incoming, response) => {
    if (incoming.headers.authorization !== wanted) {
      response.writeHead(401, { 'content-type': 'text/html' }).end('<html>Authorization Required');
      return;
    }
    const options = { port, path: incoming.url, method: incoming.method, headers: incoming.headers };
    const forwarded = request({ host: '127.0.0.1', ...options }, (reply) => {
      response.writeHead(reply.statusCode ?? 502, reply.headers);
      reply.pipe(response);
    });
    incoming.pipe(forwarded);
  });
  server.on('connection', (socket) => sockets.add(socket));
  server.on('upgrade', (incoming, client: Socket) => {
    handshakes.push(incoming.headers);
    if (incoming.headers.authorization !== wanted) {
      client.end('HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n');
      return;
    }
    const upstream = connect(Number(port), '127.0.0.1');
    const lines = Object.entries(incoming.headers).map(([name, value]) => `${name}: ${String(value)}`);
    upstream.write([`GET ${incoming.url ?? ''} HTTP/1.1`, ...lines, '', ''].join('\r\n'));
    client.pipe(upstream).pipe(client);
    for (const socket of [client, upstream]) socket.on('error', () => socket.destroy());
    client.on('close', () => upstream.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const ownPort = (server.address() as AddressInfo).port;
  return {
    port: ownPort,
    url: `http://127.0.0.1:${ownPort}${pathname}`,
    handshakes,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
