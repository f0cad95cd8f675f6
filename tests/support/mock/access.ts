import { randomBytes, randomUUID } from 'node:crypto';
import { Refusal, type Route, invalid, respond, route } from './http.js';
import { formatTime, now } from './time.js';

export interface AccessOptions {
  authString?: string | undefined;
  apiKey?: string | undefined;
  csrf?: boolean | undefined;
}

export interface Access {
  routes: Route[];
  /** The refusal of a request that may not pass, or nothing. */
  check(method: string, path: string, headers: Headers): Response | undefined;
}

const HOUR = 3_600_000_000;

export function access(options: AccessOptions): Access {
  const tokens = new Map<string, string>();
  const expected =
    options.apiKey !== undefined
      ? `Bearer ${options.apiKey}`
      : options.authString !== undefined
        ? `Basic ${Buffer.from(options.authString).toString('base64')}`
        : undefined;
  const csrf = route('get', '/csrf-token', ({ query }) => {
    const client = query.get('client');
    if (client === null) {
      throw invalid(
        [{ type: 'missing', loc: ['query', 'client'], msg: 'Field required', input: null }],
        null,
      );
    }
    if (options.csrf !== true) throw new Refusal(422, { detail: 'CSRF protection is disabled.' });
    const token = randomBytes(32).toString('hex');
    tokens.set(client, token);
    const created = now();
    const expiration = formatTime(created + HOUR);
    const base = { id: randomUUID(), created: formatTime(created), updated: formatTime(created) };
    return { ...base, token, client, expiration };
  });

  function csrfTrouble(method: string, headers: Headers): Response | undefined {
    if (options.csrf !== true || method === 'GET' || method === 'HEAD') return undefined;
    const token = headers.get('prefect-csrf-token');
    const client = headers.get('prefect-csrf-client');
    if (token === null) return respond(403, { detail: 'Missing CSRF token.' });
    if (client === null) return respond(403, { detail: 'Missing client identifier.' });
    if (tokens.get(client) === token) return undefined;
    const detail = 'Invalid CSRF token or client identifier.';
    return respond(403, { detail }, { 'access-control-allow-origin': '*' });
  }

  function credentialTrouble(path: string, headers: Headers): Response | undefined {
    const open = path === '/health' || path === '/ready';
    if (expected === undefined || open || headers.get('authorization') === expected) return undefined;
    return respond(401, { exception_message: 'Unauthorized' });
  }

  return {
    routes: [csrf],
    check(method, path, headers) {
      // The token is asked for before the credentials.
      return csrfTrouble(method, headers) ?? credentialTrouble(path, headers);
    },
  };
}
