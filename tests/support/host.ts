import { Agent } from 'undici';

export interface Reply {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
  /** The body as JSON; undefined where it is none. */
  json: unknown;
}

export interface SendOptions {
  /** Sent as JSON. */
  body?: unknown;
  /** Sent as it is, instead of `body`. */
  raw?: string | Uint8Array;
  headers?: Record<string, string>;
}

/** What a host application does: plain HTTP calls, any path as it is written. */
export class Host {
  // By origin and path, because URLs are normalised: `..` and `%2F` arrive as they are.
  private readonly agent = new Agent({ pipelining: 1 });

  /** @param defaults headers of each request */
  constructor(
    private readonly baseUrl: string,
    private readonly defaults: Record<string, string> = {},
  ) {}

  get = (path: string, options?: SendOptions) => this.send('GET', path, options);
  post = (path: string, body?: unknown, options?: SendOptions) =>
    this.send('POST', path, { body, ...options });
  put = (path: string, body?: unknown, options?: SendOptions) => this.send('PUT', path, { body, ...options });
  patch = (path: string, body?: unknown, options?: SendOptions) =>
    this.send('PATCH', path, { body, ...options });
  delete = (path: string, options?: SendOptions) => this.send('DELETE', path, options);

  async send(
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'HEAD' | 'OPTIONS',
    path: string,
    options: SendOptions = {},
  ): Promise<Reply> {
    const { body, raw, headers } = options;
    const payload = raw ?? (body === undefined ? null : JSON.stringify(body));
    const reply = await this.agent.request({
      origin: this.baseUrl,
      path,
      method,
      body: payload,
      headers: {
        ...(payload === null ? {} : { 'content-type': 'application/json' }),
        ...this.defaults,
        ...headers,
      },
    });
    const text = await reply.body.text();
    return { status: reply.statusCode, headers: reply.headers, text, json: parsed(text) };
  }

  async close(): Promise<void> {
    await this.agent.close();
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
