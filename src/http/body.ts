import type { Context } from 'hono';
import { AppError, type ValidationDetail } from '../errors.js';
import { ExactNumber, JsonSyntaxError, parseJson } from '../json.js';
import { requestHeader, type Env } from './env.js';

/**
 * Reads a request body as FastAPI does: JSON is parsed, the text of another content type stays text (which no model
 * takes), no body is undefined.
 * @param maxBytes a longer body is refused before it is parsed
 * @throws AppError 400 for invalid UTF-8, 413 for a body that is too large, 422 `json_invalid` for malformed JSON
 */
export async function readBody(c: Context<Env>, maxBytes: number): Promise<unknown> {
  if (Number(requestHeader(c, 'content-length') ?? 0) > maxBytes)
    throw new AppError('body_too_large', 'Request body too large');
  const bytes = await c.req.arrayBuffer().catch((error: unknown) => {
    throw new AppError('client_gone', 'The request was not sent to its end', { cause: error });
  });
  if (bytes.byteLength > maxBytes) throw new AppError('body_too_large', 'Request body too large');
  if (bytes.byteLength === 0) return undefined;
  const text = decode(bytes);
  if (!isJson(requestHeader(c, 'content-type'))) return text;
  try {
    const value = parseJson(text);
    // As a plain number it is no object to any schema.
    if (value instanceof ExactNumber) return Number(value.text);
    if (!isNestedDeeper(value, MAX_DEPTH)) return value;
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

function decode(bytes: ArrayBuffer): string {
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
