import { z } from '@hono/zod-openapi';
import { ExactNumber, isStorableNumber } from '../json.js';
import type { Problem } from './problem.js';
import { toUtcTime } from './time.js';

/*
 * Field types that take what pydantic's lax mode takes and name their problems with pydantic's words, because that
 * is what hosts have been sending to and reading from. A problem travels as a zod issue with `params.type`.
 */

const MISSING: Problem = { type: 'missing', msg: 'Field required' };

type Description = {
  type: 'string' | 'integer' | 'boolean' | 'object' | 'array';
  format?: string;
  minimum?: number;
  pattern?: string;
  additionalProperties?: boolean;
  items?: Record<string, never>;
};

const descriptions = new WeakMap<z.ZodType, Description>();

function field<T>(description: Description, read: (value: unknown) => { value: T } | Problem) {
  const schema = z
    .unknown()
    .transform((given, context): T => {
      const result = given === undefined ? MISSING : read(given);
      if ('value' in result) return result.value;
      context.issues.push({
        code: 'custom',
        message: result.msg,
        params: { type: result.type },
        input: given,
      });
      return z.NEVER;
    })
    .openapi(description);
  descriptions.set(schema, description);
  return schema;
}

/** Makes a field optional; null and absence both come out as null. */
export function orNull<T extends z.ZodType>(schema: T) {
  const description = descriptions.get(schema);
  const nullable = schema.nullable();
  return (
    description ? nullable.openapi({ ...description, type: [description.type, 'null'] }) : nullable
  ).default(null);
}

/** `str`: nothing but text. */
export const str = field<string>({ type: 'string' }, (value) =>
  typeof value === 'string' ? { value } : { type: 'string_type', msg: 'Input should be a valid string' },
);

const INT_PARSING: Problem = {
  type: 'int_parsing',
  msg: 'Input should be a valid integer, unable to parse string as an integer',
};
const INT_SIZE: Problem = {
  type: 'int_parsing_size',
  msg: 'Unable to parse input string as an integer, exceeded maximum size',
};

function readInteger(value: unknown): { value: number } | Problem {
  if (typeof value === 'boolean') return { value: Number(value) };
  if (typeof value === 'number' || value instanceof ExactNumber) {
    const number = typeof value === 'number' ? value : Number(value.text);
    if (!Number.isInteger(number)) {
      return {
        type: 'int_from_float',
        msg: 'Input should be a valid integer, got a number with a fractional part',
      };
    }
    return Number.isSafeInteger(number) ? { value: number } : INT_SIZE;
  }
  if (typeof value !== 'string') return { type: 'int_type', msg: 'Input should be a valid integer' };
  const text = value.trim();
  if (!/^[+-]?\d+(_\d+)*(\.0*)?$/.test(text)) return INT_PARSING;
  const number = Number(text.replaceAll('_', ''));
  return Number.isSafeInteger(number) ? { value: number === 0 ? 0 : number } : INT_SIZE;
}

/** `int`: also `"7"`, `" 2 "`, `"+2"`, `2.0`. */
export const int = field<number>({ type: 'integer' }, readInteger);

/** `int` that is not negative. */
export const count = field<number>({ type: 'integer', minimum: 0 }, (value) => {
  const result = readInteger(value);
  if (!('value' in result) || result.value >= 0) return result;
  return { type: 'greater_than_equal', msg: 'Input should be greater than or equal to 0' };
});

const TRUE = new Set(['1', 'on', 't', 'true', 'y', 'yes']);
const FALSE = new Set(['0', 'off', 'f', 'false', 'n', 'no']);

/** `bool`: also 0, 1 and the usual words. */
export const bool = field<boolean>({ type: 'boolean' }, (value) => {
  if (typeof value === 'boolean') return { value };
  if (typeof value !== 'string' && typeof value !== 'number' && !(value instanceof ExactNumber)) {
    return { type: 'bool_type', msg: 'Input should be a valid boolean' };
  }
  const text = value instanceof ExactNumber ? String(Number(value.text)) : String(value).toLowerCase();
  if (TRUE.has(text)) return { value: true };
  if (FALSE.has(text)) return { value: false };
  return { type: 'bool_parsing', msg: 'Input should be a valid boolean, unable to interpret input' };
});

function readPort(value: unknown): { value: number } | Problem {
  if (typeof value !== 'string') return { type: 'string_type', msg: 'Input should be a valid string' };
  const result = readInteger(value);
  if (!('value' in result)) return result;
  if (result.value >= 0 && result.value <= 65_535) return result;
  return { type: 'less_than_equal', msg: 'Input should be a port between 0 and 65535' };
}

/** A port: text in the request, a number in the block. */
export const portText = field<number>({ type: 'string', pattern: '^[0-9]+$' }, readPort);

/** A port that may be left out by sending an empty text. */
export const portOrEmpty = field<number | null>({ type: 'string' }, (value) =>
  value === '' ? { value: null } : readPort(value),
);

/** An object with known fields inside another. zod takes any object for one, also a number that is kept as text. */
export function nestedModel<S extends z.ZodRawShape>(shape: S) {
  return z.preprocess(
    (value) => (value instanceof ExactNumber ? Number(value.text) : value),
    z.object(shape),
  );
}

/** `dict`: a free object. Numbers that the orchestrator cannot store are refused here, before they break its lists. */
export const dict = field<Record<string, unknown>>(
  { type: 'object', additionalProperties: true },
  (value) => {
    if (!isObject(value)) return { type: 'dict_type', msg: 'Input should be a valid dictionary' };
    return isStorable(value)
      ? { value }
      : { type: 'int_parsing_size', msg: 'A number in it is beyond 64 bits' };
  },
);

/** `datetime`, as UTC text with microseconds. */
export const datetime = field<string>({ type: 'string', format: 'date-time' }, toUtcTime);

/** A time that may be left out by sending an empty text, as hosts do. */
export const timeOrEmpty = field<string>({ type: 'string' }, (value) =>
  value === '' ? { value } : toUtcTime(value),
);

const CANONICAL_UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/;
const UUID = /^[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}$/i;

function readUuid(value: unknown): { value: string } | Problem {
  if (typeof value !== 'string') return { type: 'string_type', msg: 'Input should be a valid string' };
  if (CANONICAL_UUID.test(value)) return { value };
  if (!UUID.test(value)) return { type: 'uuid_parsing', msg: 'Input should be a valid UUID' };
  const digits = value.toLowerCase().replaceAll('-', '');
  return { value: digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5') };
}

/** An id in a query or a body: what is no UUID is refused before it reaches the orchestrator. */
export const uuid = field<string>({ type: 'string', format: 'uuid' }, readUuid);

/** An id that may be left out by sending an empty text, as hosts do. */
export const uuidOrEmpty = field<string>({ type: 'string' }, (value) =>
  value === '' ? { value } : readUuid(value),
);

/** An id in a path: what is no UUID is a thing that does not exist (404). */
export const idInPath = field<string>({ type: 'string', format: 'uuid' }, (value) => {
  const result = readUuid(value);
  return 'value' in result ? result : { type: NO_SUCH_ID, msg: 'no such id' };
});
export const NO_SUCH_ID = 'no_such_id';

export function isObject(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof ExactNumber)
  );
}

function isStorable(value: unknown): boolean {
  if (typeof value === 'number' || value instanceof ExactNumber) return isStorableNumber(value);
  return typeof value !== 'object' || value === null || Object.values(value).every(isStorable);
}
