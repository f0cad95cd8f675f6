import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { Pool } from 'undici';
import { forwarded, readBody } from './http.js';
import type { Passage } from './killer.js';

/** `mute`: the websocket opens and says that all is well, and then no event ever comes. */
export type EventsMode = 'pass' | 'mute' | 'refuse';

/** Stands between the facade and Prefect. */
export class UpstreamProxy {
  events: EventsMode = 'pass';
  /** Requests so far. */
  calls = 0;
  /** Websockets opened so far. */
  websockets = 0;
  /** Parts of the stream that `mute` kept back. */
  muted = 0;
  /** Told of each request; where it says so, the request or its reply is dropped. */
  passage: Passage | undefined;
  private readonly sockets = new Set<Socket>();
  private readonly websocketSockets = new Set<Socket>();
  private readonly pool: Pool;
  private readonly server: Server;
  private readonly target: URL;

  private constructor(apiUrl: string) {
    this.target = new URL(apiUrl);
    this.pool = new Pool(this.target.origin, {
      connections: 64,
      keepAliveTimeout: 3_000,
      keepAliveMaxTimeout: 3_000,
    });
    this.server = createServer((request, response) => void this.forward(request, response));
    this.server.keepAliveTimeout = 60_000;
    this.server.on('connection', (socket: Socket) => {
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
    });
    this.server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
      this.upgrade(request, socket, head);
    });
  }

  /** @param apiUrl of Prefect, ends in `/api` */
  static async start(apiUrl: string): Promise<UpstreamProxy> {
    const proxy = new UpstreamProxy(apiUrl);
    await new Promise<void>((resolve) => proxy.server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  /** As Prefect's, with the proxy's port. */
  get apiUrl(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}${this.target.pathname}`;
  }

  cutWebsockets(): void {
    for (const socket of this.websocketSockets) socket.destroy();
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
    await this.pool.destroy();
  }

  private async forward(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = 'GET', url: path = '/', headers } = request;
    this.calls += 1;
    try {
      const body = await readBody(request);
      const call = { to: 'prefect' as const, method, path, body };
      if (this.passage?.before(call)) return void request.socket.destroy();
      const reply = await this.pool.request({
        method: method,
        path,
        headers: forwarded(headers),
        body: body === '' ? null : body,
        headersTimeout: 120_000,
      });
      const answer = Buffer.from(await reply.body.arrayBuffer());
      if (this.passage?.after(call)) return void request.socket.destroy();
      response.writeHead(reply.statusCode, forwarded(reply.headers));
      response.end(answer);
    } catch {
      // As a server that dies.
      request.socket.destroy();
    }
  }

  private upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    this.websockets += 1;
    if (this.events === 'refuse') return void socket.destroy();
    const upstream = connect(Number(this.target.port), this.target.hostname);
    this.websocketSockets.add(socket);
    const lines = [`${request.method ?? 'GET'} ${request.url ?? '/'} HTTP/1.1`];
    for (let i = 0; i < request.rawHeaders.length; i += 2) {
      const [name, value] = [request.rawHeaders[i]!, request.rawHeaders[i + 1]!];
      // Compressed frames could not be told apart.
      if (name.toLowerCase() !== 'sec-websocket-extensions') lines.push(`${name}: ${value}`);
    }
    upstream.write(`${lines.join('\r\n')}\r\n\r\n`);
    upstream.write(head);
    socket.pipe(upstream);
    let isWelcome = false;
    upstream.on('data', (part: Buffer) => {
      if (this.events === 'mute' && isWelcome) {
        this.muted += 1;
        return;
      }
      socket.write(part);
      isWelcome ||= part.includes('auth_success');
    });
    for (const [one, other] of [
      [socket, upstream],
      [upstream, socket],
    ] as const) {
      one.on('error', () => one.destroy());
      one.once('close', () => {
        other.destroy();
        this.websocketSockets.delete(socket);
      });
    }
  }
}
