import { isCertificateProblem } from '../lib/outbound.js';
import type { Dispatcher } from 'undici';
import { UpstreamError } from './errors.js';

export interface RawReply {
  status: number;
  text: string;
  /** Of a reply that is no 2xx. */
  contentType: string | undefined;
  retryAfter: string | undefined;
}

/**
 * One request and its whole reply as text, over a pool. By `dispatch` rather than `request`: a reply that is read to its
 * end needs no stream.
 * @param limits deadline: in milliseconds of `performance.now()`; waiting for a connection counts
 * @throws UpstreamError `timeout`, `unreachable` or `too_large`
 */
export function exchange(
  pool: Dispatcher,
  options: Dispatcher.DispatchOptions,
  { deadline, maxBytes }: { deadline: number; maxBytes: number },
): Promise<RawReply> {
  return new Promise((resolve, reject) => {
    let connection: Dispatcher.DispatchController | undefined;
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      const tooLate = new UpstreamError('timeout');
      // Not on a connection yet: undici lets it go when its turn comes.
      if (connection) connection.abort(tooLate);
      else reject(tooLate);
    }, deadline - performance.now());

    const reply: RawReply = { status: 0, text: '', contentType: undefined, retryAfter: undefined };
    const chunks: Buffer[] = [];
    let bytes = 0;
    pool.dispatch(options, {
      onRequestStart: (controller) => {
        connection = controller;
        if (isLate) controller.abort(new UpstreamError('timeout'));
      },
      onResponseStart: (_controller, status, headers) => {
        reply.status = status;
        if (status < 300) return;
        reply.contentType = oneValue(headers['content-type']);
        reply.retryAfter = oneValue(headers['retry-after']);
      },
      onResponseData: (controller, chunk) => {
        bytes += chunk.length;
        if (bytes <= maxBytes) chunks.push(chunk);
        else controller.abort(new UpstreamError('too_large', { status: reply.status }));
      },
      onResponseEnd: () => {
        clearTimeout(timer);
        reply.text = (chunks.length === 1 ? chunks[0] : Buffer.concat(chunks))?.toString() ?? '';
        resolve(reply);
      },
      onResponseError: (_controller, error) => {
        clearTimeout(timer);
        reject(connectionError(error));
      },
    });
  });
}

function oneValue(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : undefined;
}

const NEVER_SENT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/** undici's own limits, beside our deadline. */
const TOO_LATE = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT']);

function connectionError(error: Error): UpstreamError {
  if (error instanceof UpstreamError) return error;
  const code = 'code' in error ? String(error.code) : '';
  if (TOO_LATE.has(code)) return new UpstreamError('timeout', { cause: error });
  return new UpstreamError('unreachable', {
    sent: !NEVER_SENT.has(code) && !isCertificateProblem(code) && !code.startsWith('PROXY_'),
    cause: error,
  });
}
