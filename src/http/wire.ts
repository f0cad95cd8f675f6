import { randomUUID } from 'node:crypto';
import {
  STATUS_CODES,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { AppError, errorReply } from '../errors.js';
import type { Logger } from '../logger.js';
import { SECURITY_HEADERS } from './security-headers.js';

const MAX_HEADER_BYTES = 16 * 1024;
/** In milliseconds: for the headers of a request, and for the first request of a connection. */
const HEADERS_TIMEOUT = 10_000;
/** In milliseconds: for our last word to be read before the connection is cut. */
const LINGER = 500;

interface WireTimes {
  /** Seconds for a whole request to arrive. */
  REQUEST_TIMEOUT: number;
  /** Seconds for which a connection waits for its next request. */
  KEEP_ALIVE_TIMEOUT: number;
}

/** How much, and for how long, an HTTP server listens to. */
export function wireLimits({ REQUEST_TIMEOUT, KEEP_ALIVE_TIMEOUT }: WireTimes): ServerOptions {
  const requestTimeout = REQUEST_TIMEOUT * 1000;
  return {
    maxHeaderSize: MAX_HEADER_BYTES,
    requestTimeout,
    headersTimeout: Math.min(HEADERS_TIMEOUT, requestTimeout),
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT * 1000,
    connectionsCheckingInterval: Math.min(1_000, requestTimeout),
    // Whatever NODE_OPTIONS says.
    insecureHTTPParser: false,
    // Ours is checked with the rest of a request, and answered with an error body.
    requireHostHeader: false,
  };
}

interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
}

/**
 * Answers what is no HTTP, too large or too slow with an error body, and closes the connection. Nothing is written
 * where the client would take it for the reply to another request.
 */
export function guardWire(server: Server, logger: Logger): void {
  const latest = new WeakMap<Duplex, Exchange>();
  const condemned = new WeakSet<Duplex>();
  // 0: all are handed over, and counted with the request; beyond a limit Node drops headers silently.
  server.maxHeadersCount = 0;
  server.on('request', (request, response) => latest.set(request.socket, { request, response }));
  // Whoever reads the body says that it is wanted (readBytes); another expectation is refused (checkRequest).
  for (const event of ['checkContinue', 'checkExpectation'] as const)
    server.on(event, (request: IncomingMessage, response: ServerResponse) =>
      server.emit('request', request, response),
    );

  const refuse = (socket: Duplex, refusal: AppError, reason: string) => {
    const { status, text } = rawReply(refusal);
    logger.info('connection refused', { status, reason });
    socket.end(text);
    setTimeout(() => socket.destroy(), LINGER).unref();
  };
  server.on('connect', (_request: IncomingMessage, socket: Duplex) => {
    socket.on('error', () => socket.destroy());
    const headers = { allow: 'GET, POST, PUT, PATCH, DELETE' };
    refuse(socket, new AppError('method_not_allowed', 'Method Not Allowed', { headers }), 'CONNECT');
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    if (condemned.has(socket)) return;
    condemned.add(socket);
    // A request that came with the wrong bytes may be answered in this turn, if its body is not needed: a missing key.
    setImmediate(() => {
      const refusal = refusalOf(error);
      const place = placeFor(socket, latest.get(socket));
      if (place === 'after' && refusal) latest.get(socket)?.response.once('close', () => socket.destroy());
      else if (place === 'now' && refusal) refuse(socket, refusal, error.code ?? error.name);
      else socket.destroy();
    });
  });
}

/** Where an error can be said: at once, not before a reply that is owed has been sent, or not at all. */
function placeFor(socket: Duplex, exchange: Exchange | undefined): 'now' | 'after' | 'nowhere' {
  if (!socket.writable || isSilent(socket)) return 'nowhere';
  if (!exchange) return 'now';
  const { request, response } = exchange;
  if (request.complete) return response.writableFinished ? 'now' : 'after';
  // Its own body is what is wrong. A response that has no socket comes after others, or is out already.
  return response.socket === socket && !response.headersSent ? 'now' : 'nowhere';
}

/** Nothing was ever said on it, as on those that balancers and browsers open in advance. */
function isSilent(socket: Duplex): boolean {
  return socket instanceof Socket && socket.bytesRead === 0;
}

/** @returns undefined where there is nobody to tell: the client is gone */
function refusalOf({ code = '' }: NodeJS.ErrnoException): AppError | undefined {
  if (code === 'HPE_HEADER_OVERFLOW')
    return new AppError('headers_too_large', `The headers are longer than ${MAX_HEADER_BYTES} bytes`);
  if (code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW')
    return new AppError('body_too_large', 'Chunk extensions are too large');
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return new AppError('request_timeout', 'The request was not sent in time');
  return code.startsWith('HPE_') ? new AppError('bad_request', 'This is no valid HTTP request') : undefined;
}

/** A reply where there is no request to reply to. */
function rawReply(error: AppError): { status: number; text: string } {
  const requestId = randomUUID();
  const { status, headers, body } = errorReply(error, requestId);
  const json = JSON.stringify(body);
  const all = {
    ...SECURITY_HEADERS,
    ...headers,
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(json),
    connection: 'close',
    'x-request-id': requestId,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return { status, text: `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.join('')}\r\n${json}` };
}

/** The reply to a request that the router never got: its target or host make no URL. */
export function unroutable(error: unknown, logger: Logger): Response {
  const known =
    error instanceof Error && error.name === 'RequestError'
      ? new AppError('bad_request', 'The target or the host of the request is not valid')
      : error;
  const requestId = randomUUID();
  const { status, headers, body } = errorReply(known, requestId);
  logger[status >= 500 ? 'error' : 'info']('connection refused', {
    status,
    reason: error instanceof Error ? error.name : typeof error,
    request_id: requestId,
  });
  return new Response(JSON.stringify(body), {
    status,
    headers: {
      ...SECURITY_HEADERS,
      ...headers,
      'content-type': 'application/json',
      connection: 'close',
      'x-request-id': requestId,
    },
  });
}
