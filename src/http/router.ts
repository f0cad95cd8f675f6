import type { OpenAPIHono, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { AppError } from '../errors.js';
import { stringifyJson } from '../json.js';
import type { PrefectClient, PrefectSession } from '../prefect/client.js';
import { NO_SUCH_ID } from '../schemas/lax.js';
import { readBody } from './body.js';
import type { Contract, InputShape } from './contract.js';
import { failureOf } from './failure.js';
import { openApiRoute } from './openapi.js';
import { jsonReply, type Env } from './reply.js';
import { validationDetails } from './validation.js';

export type App = OpenAPIHono<Env>;

/** A reply that is JSON text already: passed on as it is. */
export class RawJson {
  constructor(readonly text: string) {}
}

export interface Call {
  prefect: PrefectSession;
  /** Says in the reply's headers that a ceiling cut the list. */
  cut: (rows: { cutAt?: number }) => void;
}

export interface RouterDeps {
  client: PrefectClient;
  maxBodyBytes: number;
}

/** Says that a list was cut and at how many rows: success bodies have no room for it. */
export const CUT_HEADER = 'x-result-cut-at';

/** Adds routes to an app: contract first, handler last. */
export class Router {
  constructor(
    private readonly app: App,
    private readonly deps: RouterDeps,
  ) {}

  /** Adds one route: its documentation, and the way of its requests: check, call, reply. */
  add<I extends InputShape>(
    contract: Contract<I>,
    handler: (input: z.output<z.ZodObject<I>>, call: Call) => Promise<unknown>,
  ): void {
    this.app.openAPIRegistry.registerPath(openApiRoute(contract));
    // Paths are looked up without their last slash (routing.ts).
    const pattern = contract.path.replaceAll(/\{(\w+)\}/g, ':$1').replace(/\/$/, '');
    this.app.on(contract.method.toUpperCase(), pattern, async (c) => {
      // Hono serves HEAD by the route of GET; the contract has no HEAD.
      if (c.req.method === 'HEAD')
        throw new AppError('method_not_allowed', 'Method Not Allowed', { headers: { allow: 'GET' } });
      const path: Record<string, string> = c.req.param();
      const prefect = this.deps.client.session();
      const state = c.get('state');
      state.route = contract.path;
      state.upstream = prefect.stats;
      try {
        const input = await this.readInput(c, contract, path);
        const headers: Record<string, string> = {};
        const cut: Call['cut'] = ({ cutAt }) => {
          if (cutAt !== undefined) headers[CUT_HEADER] = String(cutAt);
        };
        const reply = await handler(input, { prefect, cut });
        return jsonReply(c, reply instanceof RawJson ? reply.text : stringifyJson(reply), 200, headers);
      } catch (error) {
        throw failureOf(error, contract.failure, path);
      }
    });
  }

  private async readInput<I extends InputShape>(
    c: Context<Env>,
    contract: Contract<I>,
    path: Record<string, string>,
  ) {
    const { shape } = contract.input;
    const given = {
      path,
      query: shape.query && Object.fromEntries(new URL(c.req.url).searchParams),
      body: shape.body && (await readBody(c, this.deps.maxBodyBytes)),
    };
    const parsed = contract.input.safeParse(given);
    if (parsed.success) return parsed.data;
    const details = validationDetails(given, parsed.error);
    if (details.some(({ type }) => type === NO_SUCH_ID)) throw new AppError('not_found', 'Not Found');
    throw new AppError('validation_failed', details);
  }
}
