import type { Server, ServerResponse } from 'node:http';
import { Server as NetServer } from 'node:net';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';

export interface DrainTimes {
  /** For which connections are accepted and answered before the listener closes. */
  delayMs: number;
  /** For which connections that idle are left open after that. */
  idleMs: number;
  /** After which requests under way are answered 503. It counts from the end of the delay. */
  limitMs: number;
}

export interface DrainSteps {
  /** Called when the listener closes: those who wait for a run are to be answered. */
  onListenerClosed: () => void;
  /** Called when the limit is over, where requests are under way: they are to be answered at once. */
  onLimit: (requests: number) => void;
}

/** In milliseconds: no connection has come for so long, so that none waits to be accepted. */
const QUIET_MS = 50;
/** In milliseconds: where connections come on and on, the listener closes under them. */
const MAX_UNQUIET_MS = 1_000;
/** In milliseconds: for the answers at the limit to be sent. */
const LAST_ANSWERS_MS = 500;

/**
 * Ends a server without a reset connection: for a while it goes on accepting, and answers with `connection: close`;
 * then its listener closes, which resets connections that wait to be accepted, so there must be none; then requests
 * under way are finished, and one more on each connection that idles.
 */
export class Drainer {
  private readonly underWay = new Set<ServerResponse>();
  private isEnding = false;
  private isGraceOver = false;
  private lastConnection = -Infinity;
  private drained: Promise<void> | undefined;

  constructor(private readonly server: Server) {
    server.on('connection', () => {
      this.lastConnection = performance.now();
    });
    server.on('request', (_request, response) => {
      this.underWay.add(response);
      response.shouldKeepAlive &&= !this.isEnding;
      response.once('close', () => {
        this.underWay.delete(response);
        if (this.isGraceOver && this.underWay.size === 0) server.closeAllConnections();
      });
    });
  }

  /** Resolves when no connection is left. Further calls wait for the first. */
  drain(times: DrainTimes, steps: DrainSteps): Promise<void> {
    this.drained ??= this.run(times, steps);
    return this.drained;
  }

  private async run({ delayMs, idleMs, limitMs }: DrainTimes, steps: DrainSteps): Promise<void> {
    this.isEnding = true;
    for (const response of this.underWay) response.shouldKeepAlive = false;
    if (delayMs > 0) {
      await sleep(delayMs);
      await this.untilQuiet();
    }
    const closed = this.closeListener();
    steps.onListenerClosed();
    const idle = setTimeout(
      () => {
        this.isGraceOver = true;
        this.server.closeIdleConnections();
        // Those that never said anything do not count as idle.
        if (this.underWay.size === 0) this.server.closeAllConnections();
      },
      Math.min(idleMs, limitMs),
    );
    let last: NodeJS.Timeout | undefined;
    const limit = setTimeout(() => {
      this.isGraceOver = true;
      if (this.underWay.size > 0) steps.onLimit(this.underWay.size);
      last = setTimeout(() => {
        this.server.closeAllConnections();
      }, LAST_ANSWERS_MS);
    }, limitMs);
    await closed;
    clearTimeout(idle);
    clearTimeout(limit);
    clearTimeout(last);
  }

  private async untilQuiet(): Promise<void> {
    const until = performance.now() + MAX_UNQUIET_MS;
    do {
      // After the event loop has looked for connections: this process may have been held up.
      await turn();
      if (performance.now() - this.lastConnection > QUIET_MS) return;
      await sleep(QUIET_MS / 2);
    } while (performance.now() < until);
  }

  private closeListener(): Promise<void> {
    return new Promise((resolve) => {
      // Not the HTTP server's own `close`: that ends idle connections at once, under the next request of a client.
      NetServer.prototype.close.call(this.server, () => {
        resolve();
      });
    });
  }
}
