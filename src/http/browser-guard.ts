import type { Context } from 'hono';
import { AppError } from '../errors.js';
import { requestHeader, type Env } from './env.js';

export interface BrowserGuardOptions {
  /** Origins whose pages may call and read, beside the facade's own, e.g. `https://ui.example.com`. */
  allowedOrigins: readonly string[];
  /** Whether the facade answers to a hostname, which is in lower case and has no port. Undefined: to any. */
  isAcceptedHost: ((hostname: string) => boolean) | undefined;
}

export const CROSS_ORIGIN =
  'Pages of other origins may not use this service: PROXY_ALLOWED_ORIGINS lists those that may. ' +
  'If this is its own page behind a reverse proxy, the proxy must pass the Host header on';
export const UNKNOWN_HOST =
  'Without PROXY_API_KEY this service does not answer to the name in the Host header: ' +
  'set a key, or add the name to PROXY_ALLOWED_HOSTS';

/** Headers of a reply. */
type Headers = Record<string, string>;

/** Seconds for which a browser keeps the reply to a preflight. */
const PREFLIGHT_MAX_AGE = 600;

/**
 * Keeps web pages of other origins out: a browser sends what any page tells it to, also to loopback, and as a "simple"
 * request without asking first. It says in `Origin` and `Sec-Fetch-Site` where the request comes from, which no page can
 * change; programs send neither. Against a DNS name that was rebound to this machine only the `Host` helps, because to
 * the browser such a page has our own origin.
 */
export class BrowserGuard {
  private readonly allowedOrigins: ReadonlySet<string>;
  /** The `Host` of most requests is that of the one before. */
  private lastAcceptedHost: string | undefined;

  constructor(private readonly options: BrowserGuardOptions) {
    this.allowedOrigins = new Set(options.allowedOrigins);
  }

  /**
   * Looks at three headers, before the key and the body.
   * @param isPage whether the route is a page that holds nothing, which a link on another site may open
   * @returns the headers with which the reply lets a page of an allowed origin read it
   * @throws AppError 421 for a `Host` that is not ours, 403 for a request of another origin
   */
  check(c: Context<Env>, isPage: boolean): Headers | undefined {
    const host = requestHeader(c, 'host');
    if (host !== undefined && host !== this.lastAcceptedHost) this.checkHost(host);
    const site = requestHeader(c, 'sec-fetch-site');
    const origin = requestHeader(c, 'origin');
    const isFromElsewhere = site !== undefined && site !== 'same-origin' && site !== 'none';
    if (origin === undefined) {
      if (!isFromElsewhere || (isPage && isFollowedLink(c))) return undefined;
    } else {
      if (this.allowedOrigins.has(origin))
        return {
          'access-control-allow-origin': origin,
          'access-control-expose-headers': '*',
          vary: 'origin',
        };
      if (!isFromElsewhere && isOwnOrigin(origin, host)) return undefined;
    }
    throw new AppError('cross_origin', CROSS_ORIGIN);
  }

  /** The headers of the reply to the preflight of an allowed origin; undefined if the request is none. */
  preflight(c: Context<Env>): Headers | undefined {
    const origin = requestHeader(c, 'origin');
    const method = requestHeader(c, 'access-control-request-method');
    if (c.req.method !== 'OPTIONS' || method === undefined) return undefined;
    if (origin === undefined || !this.allowedOrigins.has(origin)) return undefined;
    return {
      'access-control-allow-methods': 'GET, POST, PUT, PATCH, DELETE',
      // `*` would leave out Authorization.
      'access-control-allow-headers': requestHeader(c, 'access-control-request-headers') ?? '*',
      'access-control-max-age': String(PREFLIGHT_MAX_AGE),
    };
  }

  /** @throws AppError 421 */
  private checkHost(host: string): void {
    const { isAcceptedHost } = this.options;
    if (isAcceptedHost && !isAcceptedHost(hostnameOf(host))) throw new AppError('unknown_host', UNKNOWN_HOST);
    this.lastAcceptedHost = host;
  }
}

/**
 * Whether an `Origin` is the one that a request is addressed to. The scheme is not compared, since a proxy before us may
 * speak TLS; what it says of itself in `X-Forwarded-*` is not read, since anybody can send that.
 */
function isOwnOrigin(origin: string, host: string | undefined): boolean {
  const [, scheme] = /^(https?):\/\/[^/?#@]+$/.exec(origin) ?? [];
  const asked = `${scheme ?? ''}://${host ?? ''}`;
  // As URLs, so that a default port may be there or not.
  return (
    scheme !== undefined &&
    URL.canParse(asked) &&
    URL.canParse(origin) &&
    new URL(asked).origin === new URL(origin).origin
  );
}

/** A person has followed a link, and sees the page; not a frame, a script, an image or a form. */
function isFollowedLink(c: Context<Env>): boolean {
  return (
    c.req.method === 'GET' &&
    requestHeader(c, 'sec-fetch-mode') === 'navigate' &&
    requestHeader(c, 'sec-fetch-dest') === 'document'
  );
}

/** The name or address in a `Host` header, in lower case, without port and brackets. */
function hostnameOf(host: string): string {
  return host
    .toLowerCase()
    .replace(/:\d*$/, '')
    .replace(/^\[(.*)\]$/, '$1');
}
