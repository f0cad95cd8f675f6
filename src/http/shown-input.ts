import { unstorableReason } from '../lib/json-reader.js';
import { truncated } from '../lib/text.js';
import { isObject } from '../schemas/lax.js';

/*
 * What an error body repeats of a request. Its size is bounded whatever the request is: hosts log error bodies, and a
 * request of megabytes must not come back as one.
 */

/** In bytes of JSON. With the brackets that close a shape, an `input` has at most 1 kB. */
const MAX_BYTES = 800;
/** In bytes of JSON. */
const MAX_KEY = 100;
/** Keys and indexes of a path, and levels of a shape. */
const MAX_LEVELS = 32;
const CUT = '...';
const MASK = '**********';

/** A value of a request, cut; null for a text that the host could not store either. */
export function shown(value: unknown): unknown {
  if (typeof value !== 'string') return value ?? null;
  return unstorableReason(value) ? null : cut(value, MAX_BYTES);
}

/** The path to a value of a body, cut. */
export function shownPath(path: readonly (string | number)[]): (string | number)[] {
  return path.slice(0, MAX_LEVELS).map((step) => (typeof step === 'string' ? cut(step, MAX_KEY) : step));
}

/** The lists and keys of a value, as many as there is room for, with every other value masked. */
export function shownShape(value: unknown): unknown {
  return masked(value, { bytes: MAX_BYTES }, MAX_LEVELS);
}

function masked(value: unknown, room: { bytes: number }, levels: number): unknown {
  const isList = Array.isArray(value);
  if (!isList && !isObject(value)) {
    room.bytes -= MASK.length + 3;
    return MASK;
  }
  room.bytes -= 3;
  if (levels === 0) return CUT;
  if (isList) {
    const items: unknown[] = [];
    for (const item of value) {
      if (room.bytes <= 0) return [...items, CUT];
      items.push(masked(item, room, levels - 1));
    }
    return items;
  }
  const fields: [string, unknown][] = [];
  for (const key in value) {
    if (room.bytes <= 0) return Object.fromEntries([...fields, [CUT, CUT]]);
    const name = cut(key, MAX_KEY);
    room.bytes -= sizeOf(name);
    fields.push([name, masked(value[key], room, levels - 1)]);
  }
  return Object.fromEntries(fields);
}

/** @param bytes that its JSON may have, without the mark of the cut */
function cut(text: string, bytes: number): string {
  if (text.length <= bytes && sizeOf(text) <= bytes) return text;
  // A character takes up to six bytes in JSON.
  for (let length = bytes; ; length = Math.floor(length * 0.7)) {
    const start = truncated(text, length);
    if (sizeOf(start) <= bytes) return start + CUT;
  }
}

function sizeOf(text: string): number {
  return Buffer.byteLength(JSON.stringify(text));
}
