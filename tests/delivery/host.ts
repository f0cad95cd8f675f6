import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { webhookBody, type WebhookBody } from '../../src/services/settlement/webhook-message.js';
import { readBody } from './http.js';
import type { Passage } from './killer.js';

/** What a host took for true: it answered 2xx, or did the work and then failed to answer in time. */
export interface Delivery {
  /** The `webhook-id`. */
  id: string;
  /** Milliseconds since 1970. */
  at: number;
  text: string;
  /** The object beside the text; undefined if it does not follow the schema. */
  flowRun: WebhookBody['flow_run'] | undefined;
  /** What is wrong with its form: key, signature, timestamp, body. */
  faults: string[];
}

/** `down`: nothing listens. `stuck`: the work is done, the answer never comes. */
export type HostMode = 'healthy' | 'down' | '500' | 'stuck';

const OLDEST_TIMESTAMP = 300;

/** The host application, as far as the facade sees it. */
export class FakeHost {
  deliveries: Delivery[] = [];
  /** Requests that were not taken. */
  refused = 0;
  /** Told of each request; where it says so, the request ends there. */
  passage: Passage | undefined;
  private mode: HostMode = 'healthy';
  private port = 0;
  private server: Server | undefined;
  private readonly sockets = new Set<Socket>();

  private constructor(
    readonly key = randomBytes(12).toString('hex'),
    readonly secret = `whsec_${randomBytes(32).toString('base64')}`,
  ) {}

  /** @param like a host whose key and secret it has, too */
  static async start(like?: FakeHost): Promise<FakeHost> {
    const host = new FakeHost(like?.key, like?.secret);
    await host.listen();
    return host;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/webhooks/v1/notification/`;
  }

  async become(mode: HostMode): Promise<void> {
    if (mode === 'down') await this.close();
    else if (this.mode === 'down') await this.listen();
    // Those that wait for an answer that never comes.
    if (this.mode === 'stuck') this.cut();
    this.mode = mode;
  }

  async close(): Promise<void> {
    const { server } = this;
    this.server = undefined;
    this.cut();
    if (server) await new Promise((resolve) => server.close(resolve));
  }

  private async listen(): Promise<void> {
    const server = createServer((request, response) => void this.take(request, response));
    server.keepAliveTimeout = 60_000;
    server.on('connection', (socket) => {
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.port, '127.0.0.1', resolve);
    });
    this.server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  private cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  private async take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(request).catch(() => undefined);
    if (body === undefined) return;
    const call = { to: 'host' as const, method: request.method ?? '', path: request.url ?? '', body };
    if (this.passage?.before(call)) {
      request.socket.destroy();
      return;
    }
    if (this.mode === '500') {
      this.refused += 1;
      response.writeHead(500).end('no');
      return;
    }
    this.deliveries.push(this.read(request, body));
    if (this.passage?.after(call)) request.socket.destroy();
    else if (this.mode !== 'stuck') response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  }

  private read(request: IncomingMessage, body: string): Delivery {
    const header = (name: string) => String(request.headers[name] ?? '');
    const id = header('webhook-id');
    const timestamp = header('webhook-timestamp');
    const faults: string[] = [];
    if (request.method !== 'POST') faults.push(`method ${request.method ?? ''}`);
    if (header('x-notification-key') !== this.key) faults.push('wrong X-Notification-Key');
    if (!/^\d+$/.test(timestamp) || Math.abs(Date.now() / 1000 - Number(timestamp)) > OLDEST_TIMESTAMP)
      faults.push('wrong webhook-timestamp');
    if (!isSigned(this.secret, `${id}.${timestamp}.${body}`, header('webhook-signature')))
      faults.push('wrong webhook-signature');
    const { data: message } = webhookBody.strict().safeParse(jsonOf(body));
    if (!message) faults.push('body is not as docs/delivery.md says');
    return { id, at: Date.now(), text: message?.body ?? '', flowRun: message?.flow_run, faults };
  }
}

/** The check of the Standard Webhooks specification, written from the specification alone. */
export function isSigned(secret: string, content: string, signatures: string): boolean {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  const wanted = createHmac('sha256', key).update(content).digest();
  return signatures.split(' ').some((signature) => {
    const [version, value = ''] = signature.split(',');
    const given = Buffer.from(value, 'base64');
    return version === 'v1' && given.length === wanted.length && timingSafeEqual(given, wanted);
  });
}

function jsonOf(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
