import { parse as losslessParse, stringify as losslessStringify } from 'lossless-json';

/**
 * A JSON number that a JavaScript number would change (`1.0`, `1e5`, 19 digits): kept as its own text, because
 * run parameters belong to the host and Python tells 1 from 1.0. Everything else is a plain number.
 */
export class ExactNumber {
  constructor(readonly text: string) {}

  /** JSON.stringify cannot write a raw number on Node 20, so it is stopped here and the slow writer takes over. */
  toJSON(): never {
    throw new ExactNumberFound();
  }
}

class ExactNumberFound extends Error {}

/** The text was no JSON. `offset` is the position of the first wrong character. Never holds any of the text. */
export class JsonSyntaxError extends Error {
  constructor(readonly offset: number) {
    super('not valid JSON');
  }
}

/** Numbers in a text that a JavaScript number may change: ending in .0, with an exponent, or of 16 digits and more. */
const EXACT = /[:[,]\s*-?(?:\d+\.\d*0(?!\d)|[\d.]+[eE]|[\d.]{16})/;
const exactNumbers = [
  {
    test: (v: unknown) => v instanceof ExactNumber,
    stringify: (v: unknown) => (v instanceof ExactNumber ? v.text : ''),
  },
];

function readNumber(text: string): number | ExactNumber {
  const value = Number(text);
  return String(value) === text ? value : new ExactNumber(text);
}

/**
 * Parses JSON; numbers that would be changed by it come back as ExactNumber. The last of equal keys counts.
 * @throws JsonSyntaxError, which holds no part of the text (V8's own message quotes it)
 */
export function parseJson(text: string): unknown {
  if (!EXACT.test(text) && !/^\s*-?\d/.test(text)) return parsePlainJson(text);
  try {
    return losslessParse(text, null, { parseNumber: readNumber, onDuplicateKey: ({ newValue }) => newValue });
  } catch (error) {
    throw new JsonSyntaxError(offsetOf(error));
  }
}

/** Parses JSON into plain JavaScript values, for replies where no value of a host is passed on. */
export function parsePlainJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new JsonSyntaxError(findOffset(text));
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
    return losslessStringify(value, null, undefined, exactNumbers) ?? 'null';
  }
}

/**
 * Whether the orchestrator can store a number: it answers 500 on every list that holds an integer beyond 64 bits.
 * A large number with a fraction or an exponent is one too: PostgreSQL writes 1e20 as an integer.
 */
export function isStorableNumber(value: number | ExactNumber): boolean {
  const text = value instanceof ExactNumber ? value.text : String(value);
  const number = /^-?\d+$/.test(text) ? BigInt(text) : Number(text);
  return number >= -(2n ** 63n) && number < 2n ** 64n;
}

function findOffset(text: string): number {
  try {
    losslessParse(text, null, { onDuplicateKey: ({ newValue }) => newValue });
    return 0;
  } catch (error) {
    return offsetOf(error);
  }
}

function offsetOf(error: unknown): number {
  return Number(/at position (\d+)/.exec(error instanceof Error ? error.message : '')?.[1] ?? 0);
}
