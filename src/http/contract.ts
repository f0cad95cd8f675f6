import type { z } from '@hono/zod-openapi';
import type { Priority } from '../admission.js';
import type { Failure } from './failure.js';
import type { KeyHeader } from './keys.js';

/** The parts of a request that a route reads, each where it has one; `header` by names in lower case. */
export type InputShape = Partial<Record<'path' | 'query' | 'header', z.ZodObject>> & { body?: z.ZodType };

/** The contract of a route, as the OpenAPI document shows it and as requests are checked against it. */
export interface Contract<I extends InputShape> {
  method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  /** With FastAPI's placeholders: `/proxy/deployments/{deployment_id}`. Served with and without a slash at the end. */
  path: string;
  operationId: string;
  /** One line: it stands beside the path. */
  summary: string;
  /** What else there is to know, in Markdown. */
  description?: string;
  tag: string;
  input: z.ZodObject<I>;
  reply: z.ZodType;
  /** If the reply is no JSON; the schema is then that of one event. */
  replyType?: 'text/event-stream';
  /** Headers of the reply, with what each means. */
  replyHeaders?: Record<string, string>;
  /** What a 202 means, where the route answers it, and its body. */
  accepted?: { meaning: string; reply: z.ZodType };
  /** What a 204 means, where the route answers it. */
  noContent?: string;
  example: { reply: unknown; body?: unknown };
  /** What `detail` says when the orchestrator fails or refuses. */
  failure: Failure;
  /** Statuses that the route answers beside 401, 403, 413 (with a body), 421, 422 and 5xx. */
  errors?: (400 | 404 | 409)[];
  /** A key of this route's own, which counts instead of the API's. Checked before anything of the body is read. */
  key?: KeyHeader;
  /** What goes first when not all can: `high` for what changes something, `normal` for a GET unless it says so. */
  priority?: Priority;
  /** It may wait for long, at no cost: it takes no room from requests that work. */
  waits?: true;
  /** Bytes of the body at most, where it is less than what any route takes. */
  maxBodyBytes?: number;
  /** The body is JSON whatever its content type says; malformed JSON is a 400. */
  anyContentType?: true;
}
