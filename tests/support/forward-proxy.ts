import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';

export interface ForwardProxy {
  /** Without a login. */
  url: string;
  /** `CONNECT host:port` or `GET http://host/...`, in order, those that were refused included. */
  requests: string[];
  close(): Promise<void>;
}

/**
 * An HTTP proxy on loopback, as companies have them: forwards http and tunnels CONNECT.
 * @param ports which port of loopback stands for a name: no name is resolved
 * @param login `user:password` that it asks for
 */
export async function startForwardProxy(
  ports: Record<string, number>,
  login?: string,
): Promise<ForwardProxy> {
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  const wanted = login === undefined ? undefined : `Basic ${Buffer.from(login).toString('base64')}`;
  const server = createServer((incoming, response) => {
    requests.push(`${incoming.method ?? ''} ${incoming.url ?? ''}`);
    const { 'proxy-authorization': given, ...headers } = incoming.headers;
    if (wanted !== undefined && given !== wanted) {
      response.writeHead(407).end('<html>Proxy Authentication Required');
      return;
    }
    const target = new URL(incoming.url ?? '');
    const port = ports[target.hostname];
    const options = { port, path: target.pathname + target.search, method: incoming.method, headers };
    const forwarded = request({ host: '127.0.0.1', ...options }, (reply) => {
      response.writeHead(reply.statusCode ?? 502, reply.headers);
      reply.pipe(response);
    });
    forwarded.on('error', () => response.writeHead(502).end());
    incoming.pipe(forwarded);
  });
  server.on('connection', (socket) => sockets.add(socket));
  server.on('connect', (incoming, client: Socket) => {
    requests.push(`CONNECT ${incoming.url ?? ''}`);
    if (wanted !== undefined && incoming.headers['proxy-authorization'] !== wanted) {
      client.end('HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n');
      return;
    }
    const port = ports[(incoming.url ?? '').split(':')[0] ?? ''] ?? 1;
    const upstream = connect(port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      client.pipe(upstream).pipe(client);
    });
    sockets.add(upstream);
    for (const socket of [client, upstream]) socket.on('error', () => socket.destroy());
    client.on('close', () => upstream.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
