import { ExactNumber, ExactNumberFound } from './lib/exact-number.js';
import { JsonReader, JsonSyntaxError } from './lib/json-reader.js';

export { ExactNumber, JsonSyntaxError };

/** Numbers in a text that a JavaScript number may change: ending in .0, with an exponent, or of 16 digits and more. */
const EXACT = /[:[,]\s*-?(?:\d+\.\d*0(?!\d)|[\d.]+[eE]|[\d.]{16})/;

/**
 * Parses JSON; numbers that would be changed by it come back as ExactNumber. The last of equal keys counts.
 * @throws JsonSyntaxError, which holds no part of the text (V8's own message quotes it)
 */
export function parseJson(text: string): unknown {
  return EXACT.test(text) || /^\s*-?\d/.test(text) ? readAll(text) : parsePlainJson(text);
}

/** What Prefect sends is taken as it comes: there is no limit but that of its size. */
function readAll(text: string): unknown {
  const reader = new JsonReader(text, { maxDepth: Infinity, storable: false });
  reader.read();
  return reader.value;
}

/** Parses JSON into plain JavaScript values, for replies where no value of a host is passed on. */
export function parsePlainJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new JsonSyntaxError();
  }
}

/**
 * Whether a text is an object from its first brace to its last, without reading what is inside: enough where the
 * transport vouches that nothing is missing, and far cheaper than parsing it. Braces within strings can make
 * it say no, never yes to a text that was cut.
 */
export function isWholeObject(text: string): boolean {
  return text.startsWith('{') && text.endsWith('}') && countOf(text, '{') === countOf(text, '}');
}

function countOf(text: string, character: string): number {
  let count = 0;
  for (let at = text.indexOf(character); at !== -1; at = text.indexOf(character, at + 1)) count += 1;
  return count;
}

/**
 * The objects of a JSON array as their own texts, found by their braces without reading what is inside.
 * @throws JsonSyntaxError where the text is not an array of objects from its first bracket to its last
 */
export function splitObjects(text: string): string[] {
  const objects: string[] = [];
  if (text === '[]') return objects;
  let depth = 0;
  let start = 0;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = endOfString(text, at);
    else if (code === OPEN) depth += 1;
    else if (code === CLOSE && --depth === 0) {
      const separator = objects.length === 0 ? '[' : ',';
      if (text[start] !== separator || text[start + 1] !== '{') throw new JsonSyntaxError(start);
      objects.push(text.slice(start + 1, at + 1));
      start = at + 1;
    }
  }
  if (depth !== 0 || start === 0 || start !== text.length - 1 || !text.endsWith(']'))
    throw new JsonSyntaxError(start);
  return objects;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN = 0x7b;
const CLOSE = 0x7d;

/** The position of the quote that ends a string; of the text's end where none does. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text.charCodeAt(at) !== QUOTE) at += text.charCodeAt(at) === BACKSLASH ? 2 : 1;
  return at;
}

/** The value of a JSON text; the text itself where it is none. */
export function jsonOrText(text: string): unknown {
  try {
    return parsePlainJson(text);
  } catch {
    return text;
  }
}

/** Writes JSON; an ExactNumber is written as it was read. */
export function stringifyJson(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch (error) {
    if (!(error instanceof ExactNumberFound)) throw error;
    return write(value);
  }
}

function write(value: unknown): string {
  if (value instanceof ExactNumber) return value.text;
  if (Array.isArray(value)) return `[${value.map(write).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value ?? null);
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return `{${fields.map(([key, field]) => `${JSON.stringify(key)}:${write(field)}`).join(',')}}`;
}
