import { getResponse } from 'msw';
import { type Route, respond } from './http.js';
import { normalUuid } from './validate.js';

/** What was answered, and whether a handler did. */
export interface Answer {
  known: boolean;
  response: Response;
}

/** The handlers' answer, or what the server's router says where none fits; nothing for a path nobody knows. */
export async function answer(routes: Route[], request: Request): Promise<Answer | undefined> {
  const { pathname } = new URL(request.url);
  const path = pathname.replace(/^\/api/, '');
  const handlers = routes
    .filter((route) => route.method === request.method.toLowerCase() && fits(route.path, path))
    .map(({ handler }) => handler);
  const found = handlers.length === 0 ? undefined : await getResponse(handlers, request);
  if (found !== undefined) return { known: true, response: found };
  const twin = path.endsWith('/') ? path.slice(0, -1) : `${path}/`;
  const same = routes.filter((route) => fits(route.path, path));
  if (same.length > 0) {
    // The older routes of a path answer for the newer ones: one method is named, as there.
    const allow = same[0]?.method.toUpperCase() ?? '';
    return { known: false, response: respond(405, { detail: 'Method Not Allowed' }, { allow }) };
  }
  if (routes.some((route) => fits(route.path, twin))) {
    const location = new URL(request.url);
    location.pathname = `/api${twin}`;
    location.host = request.headers.get('host') ?? location.host;
    const headers = { location: location.href };
    return { known: false, response: new Response(null, { status: 307, headers }) };
  }
  // An id that is no UUID: the facade may be tested on what it makes of this answer.
  const loose = routes.some((route) => fits(route.path, path, false));
  return loose ? { known: true, response: respond(404, { detail: 'Not Found' }) } : undefined;
}

/** A path parameter named `...id` takes UUIDs only. */
function fits(pattern: string, path: string, strict = true): boolean {
  const [wanted, given] = [pattern.split('/'), path.split('/')];
  if (wanted.length !== given.length) return false;
  return wanted.every((part, index) => {
    const value = given[index] ?? '';
    if (!part.startsWith(':')) return part === value;
    return value !== '' && (!strict || !part.toLowerCase().endsWith('id') || normalUuid(value) !== undefined);
  });
}
