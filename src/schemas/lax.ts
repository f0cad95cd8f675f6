import { z } from '@hono/zod-openapi';
import { ExactNumber } from '../lib/exact-number.js';
import { holdsUnstorableNumber, unstorableReason } from '../lib/json-reader.js';
import { UNSTORABLE_TEXT, type Problem } from './problem.js';
import { toUtcTime } from './time.js';

/*
 * Field types that take what pydantic's lax mode takes and name their problems with pydantic's words, because that
 * is what hosts have been sending to and reading from. A problem travels as a zod issue with `params.type`.
 */

const MISSING: Problem = { type: 'missing', msg: 'Field required' };

/** A form of a field in the OpenAPI document. */
type Form = {
  type: 'string' | 'integer' | 'number' | 'boolean' | 'object' | 'array' | 'null';
  format?: string;
  description?: string;
  minimum?: number;
  maximum?: number;
  maxLength?: number;
  pattern?: string;
  enum?: (string | number)[];
  additionalProperties?: boolean;
  items?: Description | Record<string, never>;
  minItems?: number;
  maxItems?: number;
  default?: never[];
};

/** What the OpenAPI document says of a field: its form, or each of them, the usual one first. */
type Description = Form | { anyOf: Form[] };

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

/** Makes a field take null as well. */
export function nullable<T extends z.ZodType>(schema: T) {
  const description = descriptions.get(schema);
  const either = schema.nullable();
  return description ? either.openapi(orNullForm(description)) : either;
}

function orNullForm(description: Description) {
  if ('anyOf' in description) return { anyOf: [...description.anyOf, { type: 'null' as const }] };
  return { ...description, type: [description.type, 'null' as const] };
}

/** Makes a field optional; null and absence both come out as null. */
export function orNull<T extends z.ZodType>(schema: T) {
  return nullable(schema).default(null);
}

const NO_TEXT: Problem = { type: 'string_type', msg: 'Input should be a valid string' };

function readText(value: unknown): { value: string } | Problem {
  if (typeof value !== 'string') return NO_TEXT;
  const reason = unstorableReason(value);
  return reason ? UNSTORABLE_TEXT[reason] : { value };
}

/** `str`: nothing but text, and one that every database of Prefect can store. */
export const str = field<string>({ type: 'string' }, readText);

/**
 * In Unicode characters, which take 4 bytes each at most. Prefect has names in indexes, and a row of an index takes 2,704
 * bytes in PostgreSQL: of a longer name it says 503, and of a longer tag it loses the events of all runs.
 */
const NAME_LENGTH = 600;

/** A text that Prefect keeps in an index or that names something there. */
export const name = field<string>(
  { type: 'string', maxLength: NAME_LENGTH, description: `At most ${NAME_LENGTH} characters` },
  (value) => {
    const result = readText(value);
    if (!('value' in result) || isShort(result.value)) return result;
    return { type: 'string_too_long', msg: `String should have at most ${NAME_LENGTH} characters` };
  },
);

function isShort(text: string): boolean {
  // A character has two units at most.
  if (text.length <= NAME_LENGTH || text.length > 2 * NAME_LENGTH) return text.length <= NAME_LENGTH;
  return Array.from(text).length <= NAME_LENGTH;
}

const INT_PARSING: Problem = {
  type: 'int_parsing',
  msg: 'Input should be a valid integer, unable to parse string as an integer',
};
const INT_SIZE: Problem = {
  type: 'int_parsing_size',
  msg: 'Unable to parse input string as an integer, exceeded maximum size',
};

const MAX_DIGITS = 4_300;

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
  // As Python, which reads no longer integer.
  if (value.length > MAX_DIGITS) return INT_SIZE;
  const text = value.trim();
  if (!/^[+-]?\d+(_\d+)*(\.0*)?$/.test(text)) return INT_PARSING;
  const number = Number(text.replaceAll('_', ''));
  return Number.isSafeInteger(number) ? { value: number === 0 ? 0 : number } : INT_SIZE;
}

const LARGEST = Number.MAX_SAFE_INTEGER;
/** The texts that `readInteger` takes, within all bounds here. */
const INTEGER_TEXT = '^ *[+-]?[0-9]{1,8}(\\.0*)? *$';

/**
 * `int` within bounds: also `"7"`, `" 2 "`, `"+2"`, `2.0`, and true and false for 1 and 0. That of a path or query is
 * described as the integer that it is; that of a body in all forms that it may have.
 */
function integer(minimum: number, maximum: number, where: 'url' | 'body') {
  const usual: Form = { type: 'integer', minimum, maximum };
  const others: Form[] = [{ type: 'boolean' }, { type: 'string', pattern: INTEGER_TEXT }];
  return field<number>(where === 'url' ? usual : { anyOf: [usual, ...others] }, (value) => {
    const result = readInteger(value);
    if (!('value' in result)) return result;
    if (result.value < minimum)
      return { type: 'greater_than_equal', msg: `Input should be greater than or equal to ${minimum}` };
    if (result.value > maximum)
      return { type: 'less_than_equal', msg: `Input should be less than or equal to ${maximum}` };
    return result;
  });
}

/** `int` of a path or query. */
export const int = integer(-LARGEST, LARGEST, 'url');
/** `int` of a body. */
export const bodyInt = integer(-LARGEST, LARGEST, 'body');
/** Hours from a time that still lead to one that a calendar has, both ways. */
export const hours = integer(-10_000_000, 10_000_000, 'url');
/** The same in minutes. */
export const minutes = integer(-500_000_000, 500_000_000, 'body');
/** `int` of a query that is not negative. */
export const count = integer(0, LARGEST, 'url');

const TRUE = new Set(['1', 'on', 't', 'true', 'y', 'yes']);
const FALSE = new Set(['0', 'off', 'f', 'false', 'n', 'no']);

const BOOLEANS: Form[] = [
  { type: 'boolean' },
  { type: 'integer', enum: [0, 1] },
  {
    type: 'string',
    pattern:
      '^([01tTfFyYnN]|[oO][nN]|[oO][fF][fF]|[tT][rR][uU][eE]|[fF][aA][lL][sS][eE]|[yY][eE][sS]|[nN][oO])$',
  },
];

/** `bool`: also 0, 1 and the usual words. */
export const bool = field<boolean>({ anyOf: BOOLEANS }, (value) => {
  if (typeof value === 'boolean') return { value };
  if (typeof value !== 'string' && typeof value !== 'number' && !(value instanceof ExactNumber)) {
    return { type: 'bool_type', msg: 'Input should be a valid boolean' };
  }
  const text = value instanceof ExactNumber ? String(Number(value.text)) : String(value).toLowerCase();
  if (TRUE.has(text)) return { value: true };
  if (FALSE.has(text)) return { value: false };
  return { type: 'bool_parsing', msg: 'Input should be a valid boolean, unable to interpret input' };
});

const PORT_TEXT = '^0*([0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$';
const PORT = new RegExp(PORT_TEXT);

function readPort(value: unknown): { value: number } | Problem {
  if (typeof value !== 'string') return NO_TEXT;
  const result = readInteger(value);
  if (!('value' in result)) return result;
  if (PORT.test(value.trim())) return result;
  return { type: 'less_than_equal', msg: 'Input should be a port between 0 and 65535' };
}

/** A port: text in the request, a number in the block. */
export const portText = field<number>({ type: 'string', pattern: PORT_TEXT }, readPort);

/** The form of a field that may be left out by sending an empty text, as hosts do. */
const EMPTY: Form = { type: 'string', maxLength: 0 };

/** A port that may be left out by sending an empty text. */
export const portOrEmpty = field<number | null>(
  { anyOf: [{ type: 'string', pattern: PORT_TEXT }, EMPTY] },
  (value) => (value === '' ? { value: null } : readPort(value)),
);

/** An object with known fields inside another. zod takes any object for one, also a number that is kept as text. */
export function nestedModel<S extends z.ZodRawShape>(shape: S) {
  return z.preprocess(
    (value) => (value instanceof ExactNumber ? Number(value.text) : value),
    z.object(shape),
  );
}

const BEYOND_64_BITS: Problem = { type: 'int_parsing_size', msg: 'A number in it is beyond 64 bits' };

/** `dict`: a free object. Numbers that the orchestrator cannot store are refused here, before they break its lists. */
export const dict = field<Record<string, unknown>>(
  { type: 'object', additionalProperties: true },
  (value) => {
    if (!isObject(value)) return { type: 'dict_type', msg: 'Input should be a valid dictionary' };
    return holdsUnstorableNumber(value) ? BEYOND_64_BITS : { value };
  },
);

/** `list` of at most `max` items; no item is looked at where there are more. Numbers are refused as in `dict`. */
export function list<T extends z.ZodType>(item: T, { min = 0, max }: { min?: number; max: number }) {
  const description: Description = {
    type: 'array',
    items: descriptions.get(item) ?? {},
    ...(min > 0 ? { minItems: min } : {}),
    maxItems: max,
  };
  const bounded = field<unknown[]>(description, (value) => {
    if (!Array.isArray(value)) return { type: 'list_type', msg: 'Input should be a valid list' };
    if (value.length < min || value.length > max)
      return { type: 'list_length', msg: `List should have ${min} to ${max} items` };
    return holdsUnstorableNumber(value) ? BEYOND_64_BITS : { value: value as unknown[] };
  });
  const schema = bounded.pipe(z.array(item)).openapi(description);
  descriptions.set(schema, description);
  return schema;
}

/** The same, optional: absence comes out as an empty list. */
export function listOrEmpty<T extends z.ZodType>(item: T, limits: { max: number }) {
  const schema = list(item, limits);
  return schema.default([]).openapi({ ...descriptions.get(schema), default: [] });
}

/** Text, or seconds or milliseconds since 1970. The last year that a calendar of Prefect's can tell is 9998. */
const TIME_TEXT: Form = { type: 'string', format: 'date-time' };
const EPOCH_TEXT: Form = {
  type: 'string',
  pattern: '^([+]?[0-9]{1,14}|-[0-9]{1,13})([.][0-9]*)?$',
};
const EPOCH = { minimum: -62_135_596_800_000, maximum: 253_370_764_799_999 };

/** `datetime`, as UTC text with microseconds. */
export const datetime = field<string>({ anyOf: [TIME_TEXT, { type: 'number', ...EPOCH }] }, toUtcTime);

/** A time of a query that may be left out by sending an empty text, as hosts do. A text with an exponent is no number. */
export const timeOrEmpty = field<string>({ anyOf: [TIME_TEXT, EPOCH_TEXT, EMPTY] }, (value) =>
  value === '' ? { value } : toUtcTime(value),
);

const CANONICAL_UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/;
const UUID = /^[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}$/i;

function readUuid(value: unknown): { value: string } | Problem {
  if (typeof value !== 'string') return NO_TEXT;
  if (CANONICAL_UUID.test(value)) return { value };
  if (!UUID.test(value)) return { type: 'uuid_parsing', msg: 'Input should be a valid UUID' };
  const digits = value.toLowerCase().replaceAll('-', '');
  return { value: digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5') };
}

/** An id in a query or a body: what is no UUID is refused before it reaches the orchestrator. */
export const uuid = field<string>({ type: 'string', format: 'uuid' }, readUuid);

/** An id that may be left out by sending an empty text, as hosts do. */
export const uuidOrEmpty = field<string>({ anyOf: [{ type: 'string', format: 'uuid' }, EMPTY] }, (value) =>
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
