import { prefectSaid } from './error-body.js';
import { UpstreamError } from './errors.js';
import type { RawReply } from './exchange.js';
import { explain } from './explain.js';
import { parseRetryAfter } from './retry.js';

/**
 * The error that a reply other than a 2xx stands for. A 4xx is Prefect's verdict only if Prefect wrote it: a host that
 * believes the 404 page of an ingress deletes its rows. Whoever refuses our credentials or asks us to slow down is
 * believed, and so is a 5xx.
 * @param sentBody what was sent, so that none of its values is repeated
 */
export function replyError(reply: RawReply, sentBody?: unknown): UpstreamError {
  const { status, text } = reply;
  const said = prefectSaid(reply);
  if (said === undefined && status >= 400 && status < 500 && !ANYBODYS.has(status)) {
    return new UpstreamError('shape', { status });
  }
  return new UpstreamError('status', {
    status,
    text,
    explanation: said && explain(said, sentBody),
    isForeign: said === undefined,
    retryAfterSeconds: parseRetryAfter(reply.retryAfter),
  });
}

/** Statuses that mean the same from whoever is in between. */
const ANYBODYS = new Set([401, 403, 429]);
