import { z } from 'zod';
import { jsonOrText } from '../json.js';

const problem = z.object({
  loc: z.array(z.union([z.string(), z.number()])).optional(),
  msg: z.string(),
  type: z.string().optional(),
});
const errorBody = z.object({
  detail: z.unknown().optional(),
  exception_message: z.string().optional(),
  exception_detail: z.unknown().optional(),
});

const ownValues = z.object({ parameters: z.unknown(), data: z.unknown() }).partial();

/**
 * What the orchestrator said about an error, fit to be passed on: its `detail`, or message and list of problems.
 * Prefect echoes the request (`request_body`, `input`, values inside messages): none of it comes through.
 * @returns undefined where it said nothing usable (a login page, a cut reply)
 */
export function explain(text: string, requestBody?: unknown): unknown {
  const body = errorBody.safeParse(jsonOrText(text));
  if (!body.success) return undefined;
  const hide = hider(requestBody);
  const { detail, exception_message, exception_detail } = body.data;
  if (typeof detail === 'string') return hide(detail);
  const problems = z.array(problem).safeParse(exception_detail ?? detail);
  if (problems.success) {
    return problems.data.map(({ loc, msg, type }) => ({ loc, msg: hide(msg), type }));
  }
  return exception_message === undefined ? undefined : hide(exception_message);
}

/** Replaces the host's own values (parameters, block data) that show up in a text: a refused secret is not repeated. */
function hider(requestBody: unknown): (text: string) => string {
  const { data: { parameters, data } = {} } = ownValues.safeParse(requestBody);
  const values = leaves([parameters, data])
    .filter((value) => value.length >= 4)
    .flatMap(spellings)
    .sort((a, b) => b.length - a.length);
  return (text) => values.reduce((shown, value) => shown.replaceAll(value, '***'), text);
}

/** A text as it stands, as JSON and as Python's repr write it: messages quote values. */
function spellings(value: string): string[] {
  const inJson = JSON.stringify(value).slice(1, -1);
  return [value, inJson, inJson.replaceAll('\\"', '"').replaceAll("'", "\\'"), inJson.replaceAll('\\"', '"')];
}

function leaves(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value === 'number') return [String(value)];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(leaves);
}
