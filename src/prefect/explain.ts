import { z } from 'zod';
import type { PrefectSaid, Problem } from './error-body.js';

const ownValues = z.object({ parameters: z.unknown(), data: z.unknown() }).partial();

/**
 * What Prefect said about an error, fit to be passed on: its sentence, or its list of problems. Prefect echoes the
 * request (`request_body`, `input`, values inside messages): none of it comes through.
 */
export function explain(said: PrefectSaid, requestBody?: unknown): string | Problem[] {
  const hide = hider(requestBody);
  if (typeof said === 'string') return hide(said);
  return said.map(({ loc, msg, type }) => ({ loc, msg: hide(msg), type }));
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
