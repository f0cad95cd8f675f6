import type { IncomingMessage } from 'node:http';
import type { Context } from 'hono';
import { AppError } from '../errors.js';
import type { Env } from './env.js';

const MAX_TARGET_LENGTH = 8 * 1024;
const MAX_HEADERS = 100;
/** The connection is of no more use: what follows on it may be no request at all. */
const CLOSE = { headers: { connection: 'close' } };

/** Refuses what HTTP allows but no host sends. @throws AppError 400, 414, 417 or 431 */
export function checkRequest(c: Context<Env>): void {
  const { incoming } = c.env;
  if (!incoming) return;
  if (incoming.url && incoming.url.length > MAX_TARGET_LENGTH)
    throw new AppError(
      'uri_too_long',
      `The path and query are longer than ${MAX_TARGET_LENGTH} bytes`,
      CLOSE,
    );
  if (incoming.rawHeaders.length > 2 * MAX_HEADERS)
    throw new AppError('headers_too_large', `More than ${MAX_HEADERS} headers`, CLOSE);
  if (hosts(incoming) !== 1 && incoming.httpVersion !== '1.0')
    throw new AppError('bad_request', 'There must be one Host header', CLOSE);
  const { expect } = incoming.headers;
  if (expect !== undefined && expect.toLowerCase() !== '100-continue')
    throw new AppError('expectation_failed', 'Only 100-continue can be expected', CLOSE);
}

/** How many Host headers there are: proxies before us may have read another one than we do. */
function hosts({ rawHeaders }: Pick<IncomingMessage, 'rawHeaders'>): number {
  let count = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index];
    if (name?.length === 4 && name.toLowerCase() === 'host') count += 1;
  }
  return count;
}
