import { createHash, timingSafeEqual } from 'node:crypto';
import type { Context } from 'hono';
import { AppError } from '../errors.js';
import { requestHeader, type Env } from './env.js';

/** A header that has to carry one of some keys. */
export interface KeyHeader {
  /** As the sender writes it, e.g. `X-Notification-Key`. */
  header: string;
  /** What the OpenAPI document calls it. */
  scheme: string;
  /** Several, so that a key can be changed without a gap. None: the route is shut. */
  accepted: readonly string[];
  /** The variable that sets them. */
  setting: string;
}

/**
 * Makes the check of a request's key, which reads nothing but the header.
 * @throws AppError 401 for a wrong or missing key, 503 where no key is set
 */
export function keyCheck({ header, accepted, setting }: KeyHeader): (c: Context<Env>) => void {
  const isAccepted = keyMatcher(accepted);
  const name = header.toLowerCase();
  return (c) => {
    if (accepted.length === 0) throw new AppError('not_configured', `${setting} is not set`);
    if (!isAccepted(requestHeader(c, name)))
      throw new AppError('unauthorized', 'unauthorized', { headers: { 'www-authenticate': 'APIKey' } });
  };
}

/** Tells whether a request may see what this installation holds. */
export type HasKey = (c: Context<Env>) => boolean;

/**
 * Makes the question whether a request bears the API's key: as `Authorization: Bearer`, as the password of
 * `Authorization: Basic`, or as `X-API-Key`. Reads nothing but these headers.
 * @param accepted several, so that a key can be changed without a gap; none: every request passes
 */
export function apiKeyMatcher(accepted: readonly string[]): HasKey {
  if (accepted.length === 0) return () => true;
  const isAccepted = keyMatcher(accepted);
  return (c) => {
    return (
      isAccepted(requestHeader(c, 'x-api-key')) || isAccepted(credentialOf(requestHeader(c, 'authorization')))
    );
  };
}

/** How the OpenAPI document names the three ways to send the API's key. */
export const API_KEY_SCHEMES = {
  ApiKeyAsBearer: { type: 'http', scheme: 'bearer', description: 'Needed where `PROXY_API_KEY` is set' },
  ApiKeyAsBasic: {
    type: 'http',
    scheme: 'basic',
    description:
      'The key as the password, with any user name, for clients that can only be given a URL: `http://x:KEY@host`. Needed where `PROXY_API_KEY` is set',
  },
  ApiKeyAsHeader: {
    type: 'apiKey',
    in: 'header',
    name: 'X-API-Key',
    description: 'Needed where `PROXY_API_KEY` is set',
  },
} as const;

const AUTHORIZATION = /^(Bearer|Basic) +(\S+)$/i;

/** The key in an `Authorization` header, as latin1; undefined if there is none, or if the header is malformed. */
function credentialOf(header: string | undefined): string | undefined {
  const [, scheme, credential] = (header && AUTHORIZATION.exec(header)) || [];
  return scheme?.toLowerCase() === 'basic' ? passwordOf(credential) : credential;
}

/** The password of Basic credentials (RFC 7617): what follows the first colon. The user name may be anything. */
function passwordOf(encoded = ''): string | undefined {
  const decoded = Buffer.from(encoded, 'base64');
  // Buffer skips what is no base64: only what it would write itself is well-formed.
  if (decoded.toString('base64') !== encoded) return undefined;
  const colon = decoded.indexOf(':');
  return colon < 0 ? undefined : decoded.toString('latin1', colon + 1);
}

/** Tells whether a header's text is one of some keys, in a time that says nothing about them. */
export function keyMatcher(accepted: readonly string[]): (given: string | undefined) => boolean {
  const digests = accepted.map((key) => digest(Buffer.from(key)));
  return (given) => {
    if (given === undefined) return false;
    // Node hands over the bytes of a header as latin1; the key of the configuration is UTF-8.
    const candidate = digest(Buffer.from(given, 'latin1'));
    // All of them, whichever fits.
    return digests.filter((known) => timingSafeEqual(known, candidate)).length > 0;
  };
}

/** Of equal length, as timingSafeEqual wants them. */
function digest(key: Buffer): Buffer {
  return createHash('sha256').update(key).digest();
}
