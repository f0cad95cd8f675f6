import type { z } from '@hono/zod-openapi';
import type { Failure } from './failure.js';

/** The parts of a request that a route reads: `path`, `query` and `body`, each where it has one. */
export type InputShape = Partial<Record<'path' | 'query', z.ZodObject>> & { body?: z.ZodType };

/** The contract of a route, as the OpenAPI document shows it and as requests are checked against it. */
export interface Contract<I extends InputShape> {
  method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  /** With FastAPI's placeholders: `/proxy/deployments/{deployment_id}`. Served with and without a slash at the end. */
  path: string;
  operationId: string;
  summary: string;
  tag: string;
  input: z.ZodObject<I>;
  reply: z.ZodType;
  example: { reply: unknown; body?: unknown };
  /** What `detail` says when the orchestrator fails or refuses. */
  failure: Failure;
  /** Statuses that the route answers beside 422 and 5xx. */
  errors?: (400 | 404 | 409)[];
}
