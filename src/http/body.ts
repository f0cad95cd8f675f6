import type { Context } from 'hono';
import { AppError, type ValidationDetail } from '../errors.js';
import { ExactNumber, JsonSyntaxError, parseJson, parsePlainJson } from '../json.js';
import { requestHeader, type Env } from './env.js';

/**
 * Reads a request body.
 * @throws AppError 413 for a body that is longer than `maxBytes`, as soon as that is known; 499 where it is cut
 */
export async function readBytes(c: Context<Env>, maxBytes: number): Promise<Uint8Array> {
  const length = requestHeader(c, 'content-length');
  if (Number(length ?? 0) > maxBytes) throw new AppError('body_too_large', 'Request body too large');
  if (requestHeader(c, 'expect') !== undefined) c.env.outgoing?.writeContinue();
  try {
    const stream = length === undefined ? c.req.raw.body : null;
    return stream ? await readStream(stream, maxBytes) : new Uint8Array(await c.req.arrayBuffer());
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw new AppError('client_gone', 'The request was not sent to its end', { cause: error });
  }
}

/** A body of no stated length may have no end. */
async function readStream(stream: ReadableStream<Uint8Array>, maxBytes: number): Promise<Uint8Array> {
  // Not `for await`: leaving that cancels the stream, and with it the connection that the reply goes to.
  const reader = stream.getReader();
  const parts: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return Buffer.concat(parts);
    size += value.byteLength;
    if (size > maxBytes) throw new AppError('body_too_large', 'Request body too large');
    parts.push(value);
  }
}

/**
 * The value of a body that is JSON whatever its content type says.
 * @throws AppError 400 for anything else
 */
export function jsonBody(bytes: Uint8Array): unknown {
  const text = decode(bytes);
  try {
    return parsePlainJson(text);
  } catch {
    throw new AppError('bad_request', 'The body is not valid JSON');
  }
}

/**
 * The value of a body as FastAPI sees it: JSON is parsed, the text of another content type stays text (which no model
 * takes), no body is undefined.
 * @throws AppError 400 for invalid UTF-8, 422 `json_invalid` for malformed JSON, 422 for a text with U+0000 in it
 */
export function fastApiBody(bytes: Uint8Array, contentType: string | undefined): unknown {
  if (bytes.byteLength === 0) return undefined;
  const text = decode(bytes);
  if (!isJson(contentType)) return text;
  try {
    const value = parseJson(text);
    // As a plain number it is no object to any schema.
    if (value instanceof ExactNumber) return Number(value.text);
    if (!isNestedDeeper(value, MAX_DEPTH)) {
      if (text.includes('\\u0000')) refuseNul(value, ['body']);
      return value;
    }
  } catch (error) {
    if (!(error instanceof JsonSyntaxError || error instanceof RangeError)) throw error;
    throw new AppError('validation_failed', [
      jsonInvalid(error instanceof JsonSyntaxError ? error.offset : 0),
    ]);
  }
  throw new AppError('validation_failed', [jsonInvalid(0)]);
}

/** All that walks a body (checks, JSON writers, Prefect's own parser) does it by recursion. */
const MAX_DEPTH = 200;

function isNestedDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((inner) => isNestedDeeper(inner, levels - 1));
}

/** PostgreSQL stores no U+0000, and Prefect answers 503 to what holds one, however often it is sent. */
function refuseNul(value: unknown, loc: (string | number)[]): void {
  const isList = Array.isArray(value);
  const inner = typeof value === 'object' && value !== null ? Object.entries(value) : [];
  if (
    !isList &&
    [value, ...inner.map(([key]) => key)].some((one) => typeof one === 'string' && one.includes('\0'))
  ) {
    const msg = 'Value error, the character U+0000 cannot be stored';
    throw new AppError('validation_failed', [{ type: 'value_error', loc, msg, input: null }]);
  }
  for (const [key, one] of inner) refuseNul(one, [...loc, isList ? Number(key) : key]);
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new AppError('bad_request', 'There was an error parsing the body');
  }
}

/** No content type counts as JSON; so does `application/*+json`, with any charset. */
function isJson(contentType: string | undefined): boolean {
  return !contentType || /^application\/(?:[^;\s]+\+)?json\s*(?:;|$)/i.test(contentType.trim());
}

function jsonInvalid(offset: number): ValidationDetail {
  return { type: 'json_invalid', loc: ['body', offset], msg: 'JSON decode error', input: {} };
}
