import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startFacade, type Facade } from '../support/facade.js';

/** A host with one connection; it writes whole requests and reads to the end of what is asked for. */
class RawHost {
  private received = '';
  private constructor(private readonly socket: Socket) {
    socket.setEncoding('utf8').on('data', (part: string) => (this.received += part));
  }

  static async connect(url: string): Promise<RawHost> {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    await once(socket, 'connect');
    return new RawHost(socket);
  }

  /** @returns the reply of one request */
  async ask(): Promise<string> {
    this.received = '';
    this.socket.write('GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n');
    while (!this.received.endsWith('{"status":"ok"}')) await once(this.socket, 'data');
    return this.received.toLowerCase();
  }

  /** Resolves when the facade has closed the connection. */
  async ended(): Promise<void> {
    if (!this.socket.readableEnded) await once(this.socket, 'end');
  }

  leave(): void {
    this.socket.destroy();
  }
}

let facade: Facade;
let host: RawHost;
beforeEach(async () => {
  facade = await startFacade('http://127.0.0.1:1/api');
  host = await RawHost.connect(facade.url);
});
afterEach(async () => {
  host.leave();
  await facade.close();
});

describe('A connection that idles while the facade closes', () => {
  it('gets one more answer, which says that it is the last', async () => {
    expect(await host.ask()).toContain('connection: keep-alive');
    const closed = facade.close();
    const reply = await host.ask();
    expect(reply).toContain('200 ok');
    expect(reply).toContain('connection: close');
    await host.ended();
    await closed;
  });

  it('gets it also where nothing has been asked on it yet', async () => {
    const closed = facade.close();
    expect(await host.ask()).toContain('connection: close');
    await closed;
  });

  it('is closed where nothing more is asked', async () => {
    await host.ask();
    const closed = facade.close();
    await host.ended();
    await closed;
  });
});
