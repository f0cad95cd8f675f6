import { createHash } from 'node:crypto';
import { LosslessNumber, parse, stringify } from 'lossless-json';

export type Obj = Record<string, unknown>;

export function isObj(value: unknown): value is Obj {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof LosslessNumber)
  );
}

/** Integers keep their text where a JavaScript number would change it: the server is Python. */
export function parseJson(text: string): unknown {
  return parse(text, undefined, (number) => {
    if (/^-?\d{1,15}$/.test(number)) return Number(number);
    return /^-?\d+$/.test(number) ? new LosslessNumber(number) : float(Number(number));
  });
}

export function toJson(value: unknown): string {
  return stringify(value) ?? 'null';
}

/** A Python float: 0 is written 0.0, 1e5 is written 100000.0, infinity is written null. */
export function float(value: number): LosslessNumber | number {
  return Number.isFinite(value) ? new LosslessNumber(floatText(value, 1e-5)) : value;
}

function floatText(value: number, least: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size < least || size >= 1e16)) return value.toExponential();
  if (Number.isInteger(value)) return `${Object.is(value, -0) ? '-0' : value}.0`;
  return String(value);
}

export function clone<T>(value: T): T {
  return parseJson(toJson(value)) as T;
}

/** The server's own lists (orjson) fail on integers beyond 64 bits, single reads do not. */
export function beyond64Bits(value: unknown): boolean {
  if (value instanceof LosslessNumber) {
    if (!/^-?\d+$/.test(value.value)) return false;
    const big = BigInt(value.value);
    return big > 18446744073709551615n || big < -9223372036854775808n;
  }
  if (Array.isArray(value)) return value.some(beyond64Bits);
  return isObj(value) && Object.values(value).some(beyond64Bits);
}

export function pythonRepr(value: unknown): string {
  if (value === null || value === undefined) return 'None';
  if (value === true) return 'True';
  if (value === false) return 'False';
  if (typeof value === 'string') {
    const quote = value.includes("'") && !value.includes('"') ? '"' : "'";
    return quote + value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n') + quote;
  }
  if (Array.isArray(value)) return `[${value.map(pythonRepr).join(', ')}]`;
  if (isObj(value)) {
    const entries = Object.entries(value).map(([key, item]) => `${pythonRepr(key)}: ${pythonRepr(item)}`);
    return `{${entries.join(', ')}}`;
  }
  return value instanceof LosslessNumber ? pythonNumber(value.value) : toJson(value);
}

function pythonNumber(text: string): string {
  if (/^-?\d+$/.test(text)) return text;
  return floatText(Number(text), 1e-4).replace(/e-(\d)$/, 'e-0$1');
}

/**
 * `json.dumps(value, sort_keys=True)` of Python, over which block schema checksums are made; compact, over which the
 * size of parameters is.
 */
export function pythonDumps(value: unknown, compact = false): string {
  const [comma, colon] = compact ? [',', ':'] : [', ', ': '];
  const dumps = (item: unknown) => pythonDumps(item, compact);
  if (Array.isArray(value)) return `[${value.map(dumps).join(comma)}]`;
  if (isObj(value)) {
    const keys = Object.keys(value).sort();
    return `{${keys.map((key) => dumps(key) + colon + dumps(value[key])).join(comma)}}`;
  }
  if (value instanceof LosslessNumber) return pythonNumber(value.value);
  // Python writes ASCII only.
  return toJson(value).replace(
    /[^\x00-\x7f]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
