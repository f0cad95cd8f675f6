import { createHash } from 'node:crypto';
import { LosslessNumber, parse, stringify } from 'lossless-json';

export type Obj = Record<string, unknown>;

export function isObj(value: unknown): value is Obj {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof LosslessNumber)
  );
}

/** Numbers keep their text where a JavaScript number would change it: the server is Python. */
export function parseJson(text: string): unknown {
  return parse(text, undefined, (number) =>
    /^-?\d{1,15}$/.test(number) ? Number(number) : new LosslessNumber(number),
  );
}

export function toJson(value: unknown): string {
  return stringify(value) ?? 'null';
}

/** A Python float: 0 is written 0.0. */
export function float(value: number): number | LosslessNumber {
  return Number.isInteger(value) ? new LosslessNumber(`${value}.0`) : value;
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
  return toJson(value);
}

/** `json.dumps(value, sort_keys=True)` of Python, over which block schema checksums are made. */
export function pythonDumps(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(pythonDumps).join(', ')}]`;
  if (isObj(value)) {
    const keys = Object.keys(value).sort();
    return `{${keys.map((key) => `${pythonDumps(key)}: ${pythonDumps(value[key])}`).join(', ')}}`;
  }
  // Python writes ASCII only.
  return toJson(value).replace(
    /[^\x00-\x7f]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
