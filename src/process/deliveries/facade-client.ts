import { Agent, request } from 'undici';
import { z } from 'zod';
import { keyHeaders, takeLogin } from '../../lib/url-login.js';
import { socketPath } from '../address.js';

/** The facade did not do what it was asked; the message is for people. */
export class FacadeError extends Error {
  override readonly name = 'FacadeError';
}

/** Longer than the facade takes at most by default (PREFECT_API_TIMEOUT). */
const TIMEOUT_MS = 60_000;

/** A running facade, over its public routes. */
export class FacadeClient {
  private readonly agent: Agent;
  private readonly url: string;
  private readonly origin: string;
  private readonly keyHeaders: Record<string, string>;

  /** @param url `http://host:port`, `http://x:KEY@host:port` or `unix:/path` @param apiKey sent beside a login in it */
  constructor(url: string, apiKey: string | undefined) {
    const path = socketPath(url);
    this.agent = new Agent(path === undefined ? {} : { connect: { socketPath: path } });
    this.keyHeaders = keyHeaders(url, apiKey);
    this.url = takeLogin(url).url;
    this.origin = path === undefined ? this.url.replace(/\/+$/, '') : 'http://localhost';
  }

  /** One call. @throws FacadeError for no reply, an error, or a reply of another shape */
  async call<T>(reply: z.ZodType<T>, method: 'GET' | 'POST', path: string, body?: unknown): Promise<T> {
    const { status, text } = await this.send(method, path, body);
    const value = parse(text);
    if (status >= 300) throw new FacadeError(`${status}: ${detailOf(value)}`);
    const parsed = reply.safeParse(value);
    if (!parsed.success) throw new FacadeError(`${this.url} is no facade that knows deliveries`);
    return parsed.data;
  }

  close(): Promise<void> {
    return this.agent.destroy();
  }

  private async send(method: 'GET' | 'POST', path: string, body: unknown) {
    try {
      const reply = await request(this.origin + path, {
        method,
        dispatcher: this.agent,
        signal: AbortSignal.timeout(TIMEOUT_MS),
        headers: {
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...this.keyHeaders,
        },
        body: body === undefined ? null : JSON.stringify(body),
      });
      return { status: reply.statusCode, text: await reply.body.text() };
    } catch (error) {
      if (error instanceof Error && error.name === 'TimeoutError') {
        throw new FacadeError(`no answer from ${this.url} in ${TIMEOUT_MS / 1000} s`);
      }
      throw new FacadeError(`nothing answers at ${this.url}: does the facade run? (--url says where)`);
    }
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const problem = z.object({ loc: z.array(z.union([z.string(), z.number()])), msg: z.string() });
const errorBody = z.object({ detail: z.union([z.string(), z.array(problem)]) });

function detailOf(value: unknown): string {
  const { data } = errorBody.safeParse(value);
  if (data === undefined) return 'no reason given';
  if (typeof data.detail === 'string') return data.detail;
  return data.detail.map(({ loc, msg }) => `${loc.at(-1) ?? ''}: ${msg}`).join('; ');
}
