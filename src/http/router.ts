import type { OpenAPIHono, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { AppError } from '../errors.js';
import { stringifyJson } from '../json.js';
import type { PrefectClient, PrefectSession } from '../prefect/client.js';
import { NO_SUCH_ID } from '../schemas/lax.js';
import { fastApiBody, jsonBody, readBytes } from './body.js';
import type { Contract, InputShape } from './contract.js';
import type { Doors } from './doors.js';
import { hangUpSignal, requestHeader, type Env } from './env.js';
import { EventStreamReply } from './event-stream.js';
import { failureOf } from './failure.js';
import { API_KEY_SCHEMES, keyCheck, type HasKey } from './keys.js';
import { describeRoute } from './openapi.js';
import { allowedMethods, decodedParameters, isLiteral, type Route } from './routing.js';
import { served, type Served, type Serving } from './served.js';
import { validationDetails } from './validation.js';

export type App = OpenAPIHono<Env>;

/** A reply that is JSON text already: passed on as it is. */
export class RawJson {
  constructor(readonly text: string) {}
}

/** A reply without a body: 204. */
export const NO_CONTENT = Symbol('no content');

export interface Call {
  prefect: PrefectSession;
  /** Says in the reply's headers that a ceiling cut the list. */
  cut: (rows: { cutAt?: number }) => void;
  /** Sets a header of the reply, where it is no error. */
  setHeader: (name: string, value: string) => void;
  /** Makes the reply a 202, where it is no error. */
  accepted: () => void;
  /** A signal that is aborted when the host hangs up. */
  hangUp: () => AbortSignal;
  /** The size of the request's body; 0 where the route reads none. */
  bodyBytes: number;
}

export interface RouterDeps extends Serving {
  client: PrefectClient;
  maxBodyBytes: number;
  /** The key of the API. */
  hasKey: HasKey;
  doors: Doors;
}

/** Makes the body of a route of the service itself, and sets headers beside it. */
export type OwnReply = Parameters<typeof served>[2];

/** Says that a list was cut and at how many rows: success bodies have no room for it. */
export const CUT_HEADER = 'x-result-cut-at';

/** Adds routes to an app: contract first, handler last. */
export class Router {
  private readonly routes: Route[] = [];
  /** Paths that are no id of a pattern which matches them: `/proxy/deployments/filter`. */
  private readonly literalPaths = new Set<string>();

  constructor(
    private readonly app: App,
    private readonly deps: RouterDeps,
  ) {
    // Before the keys of single routes: the document has them in this order.
    for (const [name, scheme] of Object.entries(API_KEY_SCHEMES))
      app.openAPIRegistry.registerComponent('securitySchemes', name, scheme);
  }

  /** Adds one route: its documentation, and the way of its requests: check, call, reply. */
  add<I extends InputShape>(
    contract: Contract<I>,
    handler: (input: z.output<z.ZodObject<I>>, call: Call) => Promise<unknown>,
  ): void {
    describeRoute(this.app.openAPIRegistry, contract);
    // Paths are looked up without their last slash (routing.ts).
    const pattern = contract.path.replaceAll(/\{(\w+)\}/g, ':$1').replace(/\/$/, '');
    const isOnePath = isLiteral(pattern);
    // Looked at once: zod makes the shape anew each time it is asked for.
    const hasQuery = contract.input.shape.query !== undefined;
    const hasBody = contract.input.shape.body !== undefined;
    const headerNames = Object.keys(contract.input.shape.header?.shape ?? {});
    const checkKey = contract.key ? keyCheck(contract.key) : this.checkApiKey;
    const maxBodyBytes = Math.min(contract.maxBodyBytes ?? Infinity, this.deps.maxBodyBytes);
    const door = this.deps.doors.of(contract);
    const handle = async (c: Context<Env>, about: Served) => {
      checkKey(c);
      // Hono serves HEAD by the route of GET; the contract has no HEAD.
      if (c.req.method === 'HEAD' || (!isOnePath && this.literalPaths.has(c.req.path)))
        throw this.unservedMethod(c.req.path);
      const waitedMs = door.tryEnter() ? 0 : await door.wait(c);
      try {
        return await answer(c, about, waitedMs);
      } finally {
        door.leave(c);
      }
    };
    const answer = async (c: Context<Env>, about: Served, waitedMs: number) => {
      const path: Record<string, string> = c.req.param();
      const prefect = this.deps.client.session({ priority: door.priority, waitedMs });
      about.upstream = prefect.stats;
      const cut: Call['cut'] = ({ cutAt }) => {
        if (cutAt !== undefined) about.replyHeaders[CUT_HEADER] = String(cutAt);
      };
      const setHeader: Call['setHeader'] = (name, value) => {
        about.replyHeaders[name] = value;
      };
      try {
        const query = hasQuery ? Object.fromEntries(new URL(c.req.url).searchParams) : undefined;
        const bytes = hasBody ? await readBytes(c, maxBodyBytes) : undefined;
        const body =
          bytes &&
          (await (contract.anyContentType
            ? jsonBody(bytes)
            : fastApiBody(bytes, requestHeader(c, 'content-type'))));
        const header =
          headerNames.length > 0
            ? Object.fromEntries(headerNames.map((name) => [name, requestHeader(c, name)]))
            : undefined;
        const parameters = decodedParameters(c.req.path, pattern) ?? path;
        const given = checked(contract.input, { path: parameters, query, header, body });
        const hangUp = () => hangUpSignal(c);
        const bodyBytes = bytes?.byteLength ?? 0;
        const accepted = () => {
          about.status = 202;
        };
        const reply = await handler(given, { prefect, cut, setHeader, accepted, hangUp, bodyBytes });
        if (reply instanceof EventStreamReply) return reply;
        if (reply === NO_CONTENT) return null;
        return reply instanceof RawJson ? reply.text : stringifyJson(reply);
      } catch (error) {
        throw failureOf(error, contract.failure, path);
      }
    };
    const method = contract.method.toUpperCase();
    this.routes.push({ method, path: pattern });
    if (isOnePath) this.literalPaths.add(pattern);
    this.app.on(method, pattern, served(this.deps, contract.path, handle));
  }

  /**
   * Adds a route of the service itself, which is no part of the API.
   * @param reply makes its body: JSON text, or what the `content-type` says that it sets
   */
  addOwn(path: string, reply: OwnReply): void {
    this.addOpen(path, (c, about) => {
      this.checkApiKey(c);
      return reply(c, about);
    });
  }

  /** The same for what tells nothing of this installation: it asks for no key. */
  addOpen(path: string, reply: OwnReply): void {
    this.addUnchecked(path, served(this.deps, path, reply));
  }

  /** The same for a page that people open, also by a link on another site. */
  addPage(path: string, reply: OwnReply): void {
    this.addUnchecked(path, served(this.deps, path, reply, true));
  }

  private addUnchecked(path: string, handler: ReturnType<typeof served>): void {
    this.routes.push({ method: 'GET', path }, { method: 'HEAD', path });
    this.app.get(path, handler);
  }

  /** Answers what no route serves: 405 where another method would be, else 404. */
  addFallback(): void {
    const fallback = served(this.deps, 'none', (c, about) => {
      // A browser asks before it sends the key.
      const permission = this.deps.guard.preflight(c);
      if (permission) {
        about.replyHeaders = permission;
        return null;
      }
      // Without a key nobody learns which paths there are.
      this.checkApiKey(c);
      throw this.unservedMethod(c.req.path);
    });
    this.app.notFound(fallback);
  }

  /** The error of a path that no route serves with the method that was asked for. */
  private unservedMethod(path: string): AppError {
    const allow = allowedMethods(this.routes, path);
    if (allow === undefined) return new AppError('not_found', 'Not Found');
    return new AppError('method_not_allowed', 'Method Not Allowed', { headers: { allow } });
  }

  /** @throws AppError 401 without a valid key */
  private readonly checkApiKey = (c: Context<Env>): void => {
    if (this.deps.hasKey(c)) return;
    // Basic is accepted, too, but not asked for: a browser would open its own login dialog, and from then on send the
    // key by itself with every request, also with those that another page makes it send.
    throw new AppError('unauthorized', 'unauthorized', { headers: { 'www-authenticate': 'Bearer' } });
  };
}

function checked<S extends z.ZodType>(schema: S, given: object): z.output<S> {
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  const details = validationDetails(given, parsed.error);
  if (details.some(({ type }) => type === NO_SUCH_ID)) throw new AppError('not_found', 'Not Found');
  throw new AppError('validation_failed', details);
}
