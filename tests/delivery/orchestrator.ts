import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';

type Method = 'GET' | 'POST' | 'DELETE';

const CONNECTIONS = 4;
const PAGE = 200;
/** Some two minutes: a busy machine takes its time to start Prefect again. */
const MAX_ATTEMPTS = 240;

/** The orchestrator answered with something else than success. */
export class RefusedError extends Error {
  constructor(
    readonly status: number,
    what: string,
    text: string,
  ) {
    super(`Prefect answered ${status} to ${what}: ${text.slice(0, 300)}`);
  }
}

/** Prefect's API without the facade. Few connections: SQLite answers 503 to writes that meet. */
export class Orchestrator {
  private readonly pool: Pool;
  private readonly prefix: string;

  /** @param apiUrl ends in `/api` */
  constructor(readonly apiUrl: string) {
    const { origin, pathname } = new URL(apiUrl);
    this.prefix = pathname.replace(/\/+$/, '');
    // Below uvicorn's 5 s.
    this.pool = new Pool(origin, {
      connections: CONNECTIONS,
      keepAliveTimeout: 3_000,
      keepAliveMaxTimeout: 3_000,
    });
  }

  /**
   * One attempt. @returns the reply as JSON, undefined where it is empty
   * @throws RefusedError where it is not a 2xx, undici's errors where nothing came
   */
  async once<T>(method: Method, path: string, body?: unknown): Promise<T> {
    const reply = await this.pool.request({
      method,
      path: this.prefix + path,
      headers: { accept: 'application/json', 'content-type': 'application/json' },
      body: body === undefined ? null : JSON.stringify(body),
      headersTimeout: 70_000,
      bodyTimeout: 70_000,
    });
    const text = await reply.body.text();
    if (reply.statusCode >= 300) throw new RefusedError(reply.statusCode, `${method} ${path}`, text);
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }

  /** As `once`, again and again while the server is busy or away: only for what may be done twice. */
  async call<T>(method: Method, path: string, body?: unknown): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.once<T>(method, path, body);
      } catch (error) {
        const isOver = error instanceof RefusedError && error.status !== 503;
        if (isOver || attempt === MAX_ATTEMPTS) throw error;
        await sleep(Math.random() * Math.min(1_000, 20 * 2 ** attempt));
      }
    }
  }

  /** Rows of a `/filter` route by id, whatever their number. */
  async byIds<T>(noun: 'flow_runs' | 'block_documents' | 'deployments', ids: string[]): Promise<T[]> {
    const rows: T[] = [];
    for (let from = 0; from < ids.length; from += PAGE) {
      const page = { [noun]: { id: { any_: ids.slice(from, from + PAGE) } }, limit: PAGE };
      rows.push(...(await this.call<T[]>('POST', `/${noun}/filter`, page)));
    }
    return rows;
  }

  close(): Promise<void> {
    return this.pool.destroy();
  }
}
