import type { Env } from './env.js';

/**
 * The path that routes are looked up by, as it was sent: `request.url` has `..` and `%2e%2e` resolved already, so that
 * an id could walk to another resource. An encoded slash separates like a plain one, as it does for the existing
 * proxy: `a%2Fb` is two segments, never a name with a slash in it.
 */
export function separatePath(request: Request, options?: { env?: Env['Bindings'] }): string {
  const target = options?.env?.incoming?.url ?? request.url;
  const path = target.replace(/^[a-z]+:\/\/[^/]*/i, '').replace(/[?#].*$/s, '');
  const separated = path.includes('%2') ? path.replaceAll(/%2f/gi, '/') : path;
  return separated.length > 1 && separated.endsWith('/') ? separated.slice(0, -1) : separated;
}

/** Replaces bytes that are not UTF-8, as Python does: half of a surrogate pair, which no field accepts as text. */
const NOT_UTF8 = '\udcff';

/**
 * The parameters of a percent-encoded path. The router would pass on an escape that is not UTF-8 as it was sent, so that
 * `%ED%A0%BD` became the name of a block.
 * @param pattern with `:name` for each parameter
 * @returns undefined if nothing is encoded: the router's own parameters are right
 */
export function decodedParameters(path: string, pattern: string): Record<string, string> | undefined {
  if (!path.includes('%')) return undefined;
  const segments = path.split('/');
  const parameters: Record<string, string> = {};
  for (const [index, part] of pattern.split('/').entries())
    if (part.startsWith(':')) parameters[part.slice(1)] = decoded(segments[index] ?? '');
  return parameters;
}

/** A `%` that begins no escape stays as it is. */
function decoded(segment: string): string {
  return segment.replaceAll(/(?:%[0-9a-f]{2})+/gi, (escapes) => {
    try {
      return decodeURIComponent(escapes);
    } catch {
      return NOT_UTF8;
    }
  });
}

/** A pattern that is served, and by which method. */
export interface Route {
  method: string;
  path: string;
}

/**
 * The methods that a path is served with, as `Allow` names them: of all routes whose pattern matches it, because a host
 * may use each of them there.
 * @returns undefined if no route serves it
 */
export function allowedMethods(routes: readonly Route[], path: string): string | undefined {
  const segments = split(path);
  const found = routes.filter((route) => matches(split(route.path), segments));
  // As OpenAPI has it: a path without placeholders goes before the patterns that match it.
  const literal = found.filter((route) => isLiteral(route.path));
  const methods = (literal.length > 0 ? literal : found).map(({ method }) => method);
  return methods.length === 0 ? undefined : [...new Set(methods)].join(', ');
}

/** Whether a pattern is one path only. */
export function isLiteral(pattern: string): boolean {
  return !pattern.includes('/:');
}

function matches(pattern: string[], segments: string[]): boolean {
  return (
    pattern.length === segments.length &&
    pattern.every((part, index) => (part.startsWith(':') ? segments[index] !== '' : part === segments[index]))
  );
}

function split(path: string): string[] {
  return path.replace(/\/+$/, '').split('/');
}
