import { http, HttpResponse, type HttpHandler } from 'msw';
import { type Obj, parseJson, toJson } from './json.js';
import { type Field, type Problem, normalUuid } from './validate.js';

/** Thrown by a handler, answered as the server does. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly body: Obj,
    readonly headers: Record<string, string> = {},
  ) {
    super(`${status} ${toJson(body)}`);
  }
}

export const notFound = (detail: string): Refusal => new Refusal(404, { detail });
export const conflict = (detail: string): Refusal => new Refusal(409, { detail });
export const integrity = (): Refusal =>
  conflict(
    'Data integrity conflict. This usually means a unique or foreign key constraint was violated. See server logs for details.',
  );
export const serverError = (): Refusal => new Refusal(500, { exception_message: 'Internal Server Error' });
/** `ObjectNotFoundError`, which has another shape than a 404 of a route. */
export const objectNotFound = (message: string): Refusal => new Refusal(404, { exception_message: message });

export interface Call {
  /** Path parameters, decoded; those named `...id` are canonical UUIDs. */
  params: Record<string, string>;
  query: URLSearchParams;
  headers: Headers;
  /** The body by a field list, or the server's 422. */
  read: <T>(shape: Field<T>) => Promise<T>;
  /** The body as it came, to tell a key left out from one set to null. */
  raw: () => Promise<unknown>;
}

export class Reply {
  constructor(
    readonly status: number,
    readonly body: unknown,
  ) {}
}
export const created = (body: unknown): Reply => new Reply(201, body);
export const noContent = (): Reply => new Reply(204, undefined);

export type Method = 'get' | 'post' | 'patch' | 'delete';
export interface Route {
  method: Method;
  path: string;
  handler: HttpHandler;
}

export const ORIGIN = 'http://orchestrator.mock';

/** An msw handler that passes (returns nothing) where the server's router would not match. */
export function route(method: Method, path: string, run: (call: Call) => unknown): Route {
  const handler = http[method](`${ORIGIN}/api${path}`, async ({ request, params }) => {
    const url = new URL(request.url);
    // msw takes a path with and without its last slash for the same; the server does not.
    if (url.pathname.endsWith('/') !== path.endsWith('/')) return undefined;
    const clean: Record<string, string> = {};
    for (const [key, value] of Object.entries(params)) {
      const given = String(value);
      const plain = key.toLowerCase().endsWith('id') ? normalUuid(given) : given;
      if (plain === undefined) return undefined;
      clean[key] = plain;
    }
    const content = await request.text();
    const raw = () => Promise.resolve(body(content));
    const read = <T>(shape: Field<T>) => Promise.resolve(validate(shape, body(content)));
    try {
      const result = await run({
        params: clean,
        query: url.searchParams,
        headers: request.headers,
        read,
        raw,
      });
      return result instanceof Reply ? respond(result.status, result.body) : respond(200, result);
    } catch (error) {
      if (error instanceof Refusal) return respond(error.status, error.body, error.headers);
      throw error;
    }
  });
  return { method, path, handler };
}

export function respond(status: number, body: unknown, headers: Record<string, string> = {}): Response {
  if (body === undefined) return new HttpResponse(null, { status, headers });
  return new HttpResponse(toJson(body), {
    status,
    headers: { 'content-type': 'application/json', ...headers },
  });
}

function body(content: string): unknown {
  if (content === '') return null;
  try {
    return parseJson(content);
  } catch {
    const ctx = { error: 'Expecting value' };
    throw invalid(
      [{ type: 'json_invalid', loc: ['body', 0], msg: 'JSON decode error', input: {}, ctx }],
      content,
    );
  }
}

export function invalid(problems: Problem[], request: unknown): Refusal {
  const exception_message = 'Invalid request received.';
  return new Refusal(422, { exception_message, exception_detail: problems, request_body: request });
}

function validate<T>(shape: Field<T>, raw: unknown): T {
  const problems: Problem[] = [];
  const parsesNothing = raw === null && shape.fallback === undefined;
  if (parsesNothing) {
    throw invalid([{ type: 'missing', loc: ['body'], msg: 'Field required', input: null }], null);
  }
  const value = shape.parse(raw ?? {}, ['body'], problems);
  if (problems.length > 0) throw invalid(problems, raw);
  return value;
}
/** A boolean of the query string. */
export function flag(call: Call, key: string): boolean {
  const input = call.query.getAll(key).at(-1);
  if (input === undefined) return false;
  const word = input.toLowerCase();
  if (['true', '1', 'yes', 'on', 't', 'y'].includes(word)) return true;
  if (['false', '0', 'no', 'off', 'f', 'n'].includes(word)) return false;
  const msg = 'Input should be a valid boolean, unable to interpret input';
  throw invalid([{ type: 'bool_parsing', loc: ['query', key], msg, input }], null);
}
