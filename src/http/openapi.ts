import { z, type OpenAPIHono, type RouteConfig } from '@hono/zod-openapi';
import { ERROR_STATUS } from '../errors.js';
import { EXAMPLE_ID } from '../schemas/examples.js';
import { CROSS_ORIGIN, UNKNOWN_HOST } from './browser-guard.js';
import type { Contract, InputShape } from './contract.js';
import { detailOf, type Failure } from './failure.js';

const EXAMPLE_REQUEST = 'b0c9d2e4-7a51-4c3f-8e6d-2f1a9b7c5d30';
const requestId = z
  .string()
  .openapi({ description: 'The same as the reply header `x-request-id`', example: EXAMPLE_REQUEST });

/** The error body of everything but validation. */
const errorBody = z
  .object({
    detail: z.string(),
    code: z.string(),
    request_id: requestId,
    upstream: z
      .unknown()
      .optional()
      .openapi({ description: "The orchestrator's explanation, where it gave one" }),
  })
  .openapi('Error');

const validationBody = z
  .object({
    detail: z.union([
      z.string(),
      z.array(
        z.object({
          type: z.string(),
          loc: z.array(z.union([z.string(), z.number().int()])),
          msg: z.string(),
          input: z.unknown(),
        }),
      ),
    ]),
    code: z.string(),
    request_id: requestId,
  })
  .openapi('ValidationError', {
    example: {
      detail: [{ type: 'missing', loc: ['body', 'name'], msg: 'Field required', input: {} }],
      code: 'validation_failed',
      request_id: EXAMPLE_REQUEST,
    },
  });

const DESCRIPTIONS = {
  400: 'The orchestrator refused the values, or the request makes no sense',
  401: 'The key is missing or wrong',
  403: 'A web page of another origin asks; or reading secrets is switched off here (ALLOW_SECRET_READ=false)',
  404: 'There is no such thing',
  409: 'It conflicts with something that exists',
  413: 'The body is too large',
  421: 'The Host header names something that this service does not answer to without a key',
  422: 'The request is malformed',
  500: 'A bug of this service',
  502: 'The orchestrator failed, or refused our credentials',
  503: 'The orchestrator cannot be reached, it or this service is overloaded, or this service is shutting down, see Retry-After; or a setting of this route is missing',
  504: 'The orchestrator was too slow',
} as const;

/** Details that no route words by itself. */
const DETAILS: Partial<Record<number, string>> = {
  401: 'unauthorized',
  403: CROSS_ORIGIN,
  413: 'Request body too large',
  421: UNKNOWN_HOST,
  500: 'Internal Server Error',
};

/** The error that comes with a status, or the first of them, as the route words it. */
function exampleError(status: number, failure: Failure) {
  const [code] = Object.entries(ERROR_STATUS).find(([, its]) => its === status) ?? [];
  const path = { flow_run_id: EXAMPLE_ID, deployment_id: EXAMPLE_ID };
  const detail = DETAILS[status] ?? detailOf(failure, path, undefined);
  return { detail, code, request_id: EXAMPLE_REQUEST };
}

/** Adds a route to the OpenAPI document, and the key that it asks for. */
export function describeRoute<I extends InputShape>(
  registry: OpenAPIHono['openAPIRegistry'],
  contract: Contract<I>,
): void {
  registry.registerPath(openApiRoute(contract));
  if (!contract.key) return;
  const { scheme, header, setting } = contract.key;
  const description = `For \`${contract.path}\` alone: \`${setting}\``;
  registry.registerComponent('securitySchemes', scheme, {
    type: 'apiKey',
    in: 'header',
    name: header,
    description,
  });
}

/** The OpenAPI description of a route, made from its contract. */
function openApiRoute<I extends InputShape>(contract: Contract<I>): RouteConfig {
  const { path, query, header, body } = contract.input.shape;
  const error = (status: keyof typeof DESCRIPTIONS) => ({
    description: DESCRIPTIONS[status],
    content: {
      'application/json':
        status === 422
          ? { schema: validationBody }
          : { schema: errorBody, example: exampleError(status, contract.failure) },
    },
  });
  // Of each body: it may be no UTF-8, cut, or too long.
  const ofBody = body ? ([400, 413] as const) : [];
  const errors = [
    ...new Set([401, 403, ...ofBody, ...(contract.errors ?? []), 421, 422, 500, 502, 503, 504] as const),
  ].sort();
  return {
    method: contract.method,
    path: contract.path,
    operationId: contract.operationId,
    summary: contract.summary,
    ...(contract.description === undefined ? {} : { description: contract.description }),
    tags: [contract.tag],
    ...(contract.key ? { security: [{ [contract.key.scheme]: [] }] } : {}),
    request: {
      ...(path ? { params: path } : {}),
      ...(query ? { query } : {}),
      ...(header ? { headers: header } : {}),
      ...(body
        ? {
            body: {
              required: !body.safeParse(undefined).success,
              content: { 'application/json': { schema: body, example: contract.example.body } },
            },
          }
        : {}),
    },
    responses: {
      200: {
        description: 'Done',
        ...(contract.replyHeaders ? { headers: headersOf(contract.replyHeaders) } : {}),
        content: {
          [contract.replyType ?? 'application/json']: {
            schema: contract.reply,
            example: contract.example.reply,
          },
        },
      },
      ...(contract.accepted ? { 202: acceptedReply(contract.accepted) } : {}),
      ...(contract.noContent ? { 204: { description: contract.noContent } } : {}),
      ...Object.fromEntries(errors.map((status) => [status, error(status)])),
    },
  };
}

function acceptedReply({ meaning, reply }: { meaning: string; reply: z.ZodType }) {
  return { description: meaning, content: { 'application/json': { schema: reply } } };
}

function headersOf(described: Record<string, string>) {
  return Object.fromEntries(
    Object.entries(described).map(([name, description]) => [
      name,
      { description, schema: { type: 'string' as const } },
    ]),
  );
}
