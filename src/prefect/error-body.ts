import { STATUS_CODES } from 'node:http';
import { z } from 'zod';
import { jsonOrText } from '../json.js';

const problem = z.object({
  loc: z.array(z.union([z.string(), z.number()])).optional(),
  msg: z.string(),
  type: z.string().optional(),
});
export type Problem = z.infer<typeof problem>;

/** All that Prefect 3 writes as the body of an error (3.6.29 and 3.8.8: `HTTPException` and its own handlers). */
const errorBody = z.union([
  z.strictObject({ detail: z.union([z.string(), z.array(problem)]) }),
  z.strictObject({
    exception_message: z.string(),
    exception_detail: z.array(problem).optional(),
    request_body: z.unknown().optional(),
  }),
]);

/** What Prefect said: its sentence, or its list of problems. */
export type PrefectSaid = string | Problem[];

export interface ErrorReply {
  status: number;
  text: string;
  contentType: string | undefined;
}

/**
 * What Prefect says in the body of an error; undefined if somebody else wrote that body: an ingress without a backend,
 * a login page, another API under the same address (`{"message":"no Route matched"}`, `application/problem+json`), a
 * reply that was cut. A bare `{"detail":"Not Found"}` is FastAPI's word for a route that does not exist, which any
 * FastAPI service says; Prefect names the thing that it did not find.
 */
export function prefectSaid({ status, text, contentType }: ErrorReply): PrefectSaid | undefined {
  if (contentType !== undefined && !/^application\/json\b/i.test(contentType)) return undefined;
  const { data } = errorBody.safeParse(jsonOrText(text));
  if (!data) return undefined;
  if ('detail' in data) return data.detail === STATUS_CODES[status] ? undefined : data.detail;
  return data.exception_detail ?? data.exception_message;
}

/** Whether a FastAPI server says that it has no such route: of use only for asking whether Prefect has it. */
export function isUnknownRoute({ status, text }: ErrorReply): boolean {
  return status === 404 && unknownRoute.safeParse(jsonOrText(text)).success;
}

const unknownRoute = z.strictObject({ detail: z.literal('Not Found') });
