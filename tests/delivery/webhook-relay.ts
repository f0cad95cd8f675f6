import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { request as send } from 'undici';
import { forwarded, readBody } from './http.js';

/**
 * `drop`: Prefect is told that all went well. `four`: each comes four times. `backwards`: what comes within half a second
 * goes on in the opposite order.
 */
export type RelayMode = 'pass' | 'drop' | 'four' | 'backwards';

interface Webhook {
  path: string;
  headers: Record<string, string | string[]>;
  body: string;
}

const GATHER_MS = 500;

/** Stands between Prefect and the facade's webhook. */
export class WebhookRelay {
  mode: RelayMode = 'pass';
  /** The facades' URLs; with several, they take turns. */
  targets: string[] = [];
  /** Webhooks that came from Prefect. */
  taken = 0;
  private gathered: Webhook[] = [];
  private readonly server: Server;

  private constructor() {
    this.server = createServer((request, response) => void this.take(request, response));
  }

  static async start(): Promise<WebhookRelay> {
    const relay = new WebhookRelay();
    await new Promise<void>((resolve) => relay.server.listen(0, '127.0.0.1', resolve));
    return relay;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** As Prefect would send it. */
  async post(text: string, key: string): Promise<void> {
    const headers = { 'content-type': 'application/json', 'x-notification-key': key };
    await this.pass({ path: '/webhooks/v1/notification/', headers, body: JSON.stringify({ body: text }) });
  }

  close(): Promise<void> {
    this.server.closeAllConnections();
    return new Promise((resolve) =>
      this.server.close(() => {
        resolve();
      }),
    );
  }

  private async take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(request).catch(() => undefined);
    if (body === undefined) return;
    const webhook = { path: request.url ?? '/', headers: forwarded(request.headers), body };
    // The facade asks its own address whether a webhook would arrive.
    if (request.method === 'POST') this.taken += 1;
    response.writeHead(await this.handle(webhook)).end();
  }

  /** @returns the status for Prefect */
  private async handle(webhook: Webhook): Promise<number> {
    switch (this.mode) {
      case 'drop':
        return 200;
      case 'pass':
        return this.pass(webhook);
      case 'four':
        return (await Promise.all([1, 2, 3, 4].map(() => this.pass(webhook))))[0]!;
      case 'backwards':
        if (this.gathered.push(webhook) === 1) void this.passBackwards();
        return 200;
    }
  }

  private async passBackwards(): Promise<void> {
    await sleep(GATHER_MS);
    const webhooks = this.gathered.reverse();
    this.gathered = [];
    for (const webhook of webhooks) await this.pass(webhook);
  }

  private async pass({ path, headers, body }: Webhook): Promise<number> {
    const target = this.targets[this.taken % this.targets.length];
    if (target === undefined) return 502;
    try {
      const reply = await send(target + path, { method: 'POST', headers, body, headersTimeout: 15_000 });
      await reply.body.dump();
      return reply.statusCode;
    } catch {
      return 502;
    }
  }
}
