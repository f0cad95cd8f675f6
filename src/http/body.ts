import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Context } from 'hono';
import pLimit from 'p-limit';
import { AppError, type ValidationDetail } from '../errors.js';
import { ExactNumber } from '../lib/exact-number.js';
import {
  JsonReader,
  JsonSyntaxError,
  UnstorableTextError,
  type JsonReaderOptions,
} from '../lib/json-reader.js';
import { UNSTORABLE_TEXT } from '../schemas/problem.js';
import { requestHeader, type Env } from './env.js';
import { shownPath } from './shown-input.js';

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

/** All that walks a body (JSON writers, Prefect's own parser) does it by recursion, and Prefect stores what is in it. */
const FOR_PREFECT = { maxDepth: 200, storable: true };
/** A few fields are looked at, and nothing is passed on. */
const FOR_US = { maxDepth: Infinity, storable: false };
/** In characters: some milliseconds of work. */
const SLICE = 32 * 1024;
/** Of the bodies that take more than a slice, so that no two slices come after each other. */
const oneAtATime = pLimit(1);

/**
 * The value of a body that is JSON whatever its content type says.
 * @throws AppError 400 for anything else
 */
export async function jsonBody(bytes: Uint8Array): Promise<unknown> {
  try {
    return await read(decode(bytes), FOR_US);
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    throw new AppError('bad_request', 'The body is not valid JSON');
  }
}

/**
 * The value of a body as FastAPI sees it: JSON is parsed, the text of another content type stays text (which no model
 * takes), no body is undefined.
 * @throws AppError 400 for invalid UTF-8, 422 `json_invalid` for malformed JSON, 422 for a text that cannot be stored
 */
export async function fastApiBody(bytes: Uint8Array, contentType: string | undefined): Promise<unknown> {
  if (bytes.byteLength === 0) return undefined;
  const text = decode(bytes);
  if (!isJson(contentType)) return text;
  try {
    const value = await read(text, FOR_PREFECT);
    // As a plain number it is no object to any schema.
    return value instanceof ExactNumber ? Number(value.text) : value;
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    throw new AppError('validation_failed', [jsonInvalid(error.offset)]);
  }
}

/** Reads a JSON text and checks, in one pass, all that can be said of it without a schema. */
async function read(text: string, options: JsonReaderOptions): Promise<unknown> {
  const reader = new JsonReader(text, options);
  try {
    if (!reader.read(SLICE)) await oneAtATime(() => readOn(reader));
  } catch (error) {
    if (!(error instanceof UnstorableTextError)) throw error;
    const loc = ['body', ...shownPath(error.path)];
    throw new AppError('validation_failed', [{ ...UNSTORABLE_TEXT[error.reason], loc, input: null }]);
  }
  return reader.value;
}

/** Reads what is left in slices, between which everything else has its turn. */
async function readOn(reader: JsonReader): Promise<void> {
  do await nextTurn();
  while (!reader.read(SLICE));
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
