import { z } from 'zod';
import { truncated } from '../lib/text.js';
import { keyHeaders, takeLogin } from '../lib/url-login.js';

/** Why a step failed, in words for the person who runs the demo. */
export class DemoError extends Error {
  override readonly name = 'DemoError';
}

const REQUEST_TIMEOUT = 40_000;

/** The facade as a host application sees it: plain HTTP calls, nothing shared with its code. */
export class Facade {
  private readonly baseUrl: string;
  private readonly headers: Record<string, string>;

  /** @param url may hold the key, `http://x:KEY@host:port` @param apiKey sent beside a login in it */
  constructor(url: string, apiKey?: string) {
    this.baseUrl = takeLogin(url).url;
    this.headers = { 'content-type': 'application/json', 'x-ddp-org': 'demo', ...keyHeaders(url, apiKey) };
  }

  /** One call; a reply of another shape than `shape` is a failure too. */
  async call<T>(shape: z.ZodType<T>, method: string, path: string, body?: unknown): Promise<T> {
    const what = `${method} ${path}`;
    const response = await this.send(method, path, body);
    const text = await response.text();
    if (!response.ok) throw new DemoError(`${what} was answered with ${response.status}: ${detailOf(text)}`);
    const parsed = shape.safeParse(parse(text));
    if (!parsed.success) {
      throw new DemoError(`${what} was answered with something unexpected: ${truncated(text, 200)}`);
    }
    return parsed.data;
  }

  private async send(method: string, path: string, body: unknown): Promise<Response> {
    try {
      return await fetch(new URL(path, this.baseUrl), {
        method,
        headers: this.headers,
        body: body === undefined ? null : JSON.stringify(body),
        signal: AbortSignal.timeout(REQUEST_TIMEOUT),
      });
    } catch (error) {
      if (error instanceof DOMException) throw new DemoError(`${method} ${path}: no answer in 40 s`);
      throw new DemoError(`nothing answers at ${this.baseUrl}: start it with npm start`);
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

function detailOf(text: string): string {
  const body = z.object({ detail: z.unknown() }).safeParse(parse(text));
  if (!body.success) return truncated(text, 200);
  const { detail } = body.data;
  return typeof detail === 'string' ? detail : JSON.stringify(detail);
}
