import { z } from 'zod';
import { truncated } from '../lib/text.js';
import type { PrefectSaid, Problem } from './error-body.js';

const ownValues = z.object({ parameters: z.unknown(), data: z.unknown() }).partial();

const MAX_PROBLEMS = 20;
/** In UTF-16 units. A message quotes the value that it is about, which may be all parameters of a run. */
const LONGEST_READ = 4_000;
const LONGEST_SHOWN = 1_000;
/** A shorter value gives nothing away, and would be found in every message. */
const SHORTEST_HIDDEN = 4;

/**
 * What Prefect said about an error, fit to be passed on: its sentence, or its list of problems. Prefect echoes the
 * request (`request_body`, `input`, values inside messages): none of it comes through. What is long is cut, and takes no
 * longer than what is short.
 */
export function explain(said: PrefectSaid, requestBody?: unknown): string | Problem[] {
  if (typeof said === 'string') return hidden(said, requestBody);
  return said
    .slice(0, MAX_PROBLEMS)
    .map(({ loc, msg, type }) => ({ loc, msg: hidden(msg, requestBody), type }));
}

/** Replaces the host's own values (parameters, block data) that show up in a text: a refused secret is not repeated. */
function hidden(text: string, requestBody: unknown): string {
  if (text.length > LONGEST_READ) return `a message of ${text.length} characters, which quotes the request`;
  const { data: { parameters, data } = {} } = ownValues.safeParse(requestBody);
  const values = [...quoted(text, [parameters, data])].sort((a, b) => b.length - a.length);
  const shown = values.reduce((rest, value) => rest.replaceAll(value, '***'), text);
  return shown.length > LONGEST_SHOWN ? `${truncated(shown, LONGEST_SHOWN)}...` : shown;
}

/** The values at any depth that a text has in it, in the spelling that it has them in. */
function quoted(text: string, values: unknown): Set<string> {
  const found = new Set<string>();
  // A request may hold a million values: few of them begin like anything in the text.
  const beginnings = new Set(Array.from({ length: text.length }, (_, at) => beginningOf(text.slice(at))));
  const visit = (value: unknown): void => {
    if (typeof value === 'object' && value !== null) for (const inner of Object.values(value)) visit(inner);
    else if (typeof value === 'string' || typeof value === 'number')
      for (const spelling of spellings(String(value)))
        if (beginnings.has(beginningOf(spelling)) && text.includes(spelling)) found.add(spelling);
  };
  visit(values);
  return found;
}

function beginningOf(text: string): string {
  return text.slice(0, SHORTEST_HIDDEN);
}

/** A text as it stands, as JSON and as Python's repr write it: messages quote values. Nothing for a short one. */
function spellings(value: string): string[] {
  if (value.length < SHORTEST_HIDDEN) return [];
  if (!/[^ !#-&(-[\]-~]/.test(value)) return [value];
  const inJson = JSON.stringify(value).slice(1, -1);
  return [value, inJson, inJson.replaceAll('\\"', '"').replaceAll("'", "\\'"), inJson.replaceAll('\\"', '"')];
}
