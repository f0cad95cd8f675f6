import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';

const MAX_ATTEMPTS = 40;

type Method = 'GET' | 'POST' | 'DELETE';

/** Prefect's API over one keep-alive pool, without the facade: for seeding and for the naive way. */
export class PrefectRest {
  /** Calls sent so far, repetitions included. */
  calls = 0;
  private readonly pool: Pool;
  private readonly prefix: string;

  constructor(apiUrl: string) {
    const { origin, pathname } = new URL(apiUrl);
    this.prefix = pathname.replace(/\/+$/, '');
    // Below uvicorn's 5 s, as the facade does it.
    this.pool = new Pool(origin, { connections: 8, keepAliveTimeout: 4_000, keepAliveMaxTimeout: 4_000 });
  }

  get<T>(path: string): Promise<T> {
    return this.send<T>('GET', path);
  }

  post<T>(path: string, body: unknown): Promise<T> {
    return this.send<T>('POST', path, body);
  }

  async remove(path: string): Promise<void> {
    await this.send('DELETE', path);
  }

  close(): Promise<void> {
    return this.pool.close();
  }

  private async send<T>(method: Method, path: string, body?: unknown): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      this.calls += 1;
      const reply = await this.pool.request({
        method,
        path: this.prefix + path,
        headers: { accept: 'application/json', 'content-type': 'application/json' },
        body: body === undefined ? null : JSON.stringify(body),
        headersTimeout: 20_000,
        bodyTimeout: 20_000,
        // A server that answers 503 may close the connection behind its reply, under the next write.
        reset: method !== 'GET' && !path.endsWith('/filter'),
      });
      const text = await reply.body.text();
      if (reply.statusCode < 300) return (text === '' ? undefined : JSON.parse(text)) as T;
      // "database is locked" is a 503, and routine with SQLite.
      if (reply.statusCode !== 503 || attempt === MAX_ATTEMPTS) {
        throw new Error(`Prefect answered ${reply.statusCode} to ${method} ${path}`);
      }
      // Jitter, because those that met each other would meet again.
      await sleep(Math.random() * Math.min(1_000, 50 * 2 ** attempt));
    }
  }
}
