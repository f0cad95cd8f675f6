import { LosslessNumber } from 'lossless-json';
import { type Obj, float, isObj } from './json.js';
import { type Micros, parseTime } from './time.js';

/** One entry of `exception_detail`, in pydantic's words and key order. */
export interface Problem {
  type: string;
  loc: (string | number)[];
  msg: string;
  input: unknown;
  ctx?: Obj;
}
type Loc = Problem['loc'];

export interface Field<T> {
  parse: (value: unknown, loc: Loc, problems: Problem[]) => T;
  /** Present on fields that may be left out. */
  fallback?: () => T;
}
export type Out<F> = F extends Field<infer T> ? T : never;
type Shape = Record<string, Field<unknown>>;
type OutOf<S extends Shape> = { [K in keyof S]: Out<S[K]> };

function refuse<T>(problems: Problem[], problem: Problem, stand: T): T {
  problems.push(problem);
  return stand;
}

export function field<T>(parse: Field<T>['parse']): Field<T> {
  return { parse };
}

export const anything = field<unknown>((value) => value);

export const text = field<string>((input, loc, problems) =>
  typeof input === 'string'
    ? input
    : refuse(problems, { type: 'string_type', loc, msg: 'Input should be a valid string', input }, ''),
);

/** Names of flows, pools, queues: a path segment. */
export const name = field<string>((input, loc, problems) => {
  const value = text.parse(input, loc, problems);
  if (typeof input !== 'string' || /^[^/%&><]+$/.test(value)) return value;
  const pattern = '^[^/%&><]+$';
  const msg = `String should match pattern '${pattern}'`;
  return refuse(problems, { type: 'string_pattern_mismatch', loc, msg, input, ctx: { pattern } }, value);
});

const UUID = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;

export function normalUuid(value: string): string | undefined {
  if (!UUID.test(value)) return undefined;
  const hex = value.replaceAll('-', '').toLowerCase();
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

function uuidTrouble(value: string): string {
  const bad = /[^0-9a-fA-F-]/.exec(value);
  if (bad !== null) return `invalid character: found \`${bad[0]}\` at ${bad.index}`;
  return `invalid length: expected length 32 for simple format, found ${value.length}`;
}

export const uuid = field<string>((input, loc, problems) => {
  if (typeof input !== 'string') {
    const msg = 'UUID input should be a string, bytes or UUID object';
    return refuse(problems, { type: 'uuid_type', loc, msg, input }, '');
  }
  const value = normalUuid(input);
  if (value !== undefined) return value;
  const error = uuidTrouble(input);
  const msg = `Input should be a valid UUID, ${error}`;
  return refuse(problems, { type: 'uuid_parsing', loc, msg, input, ctx: { error } }, '');
});

export function int(least?: number): Field<number> {
  return field((input, loc, problems) => {
    const value = typeof input === 'number' || input instanceof LosslessNumber ? Number(input) : input;
    const parsed = typeof value === 'string' && /^\s*[+-]?\d+\s*$/.test(value) ? Number(value) : value;
    if (typeof parsed === 'number' && Number.isInteger(parsed)) {
      if (least === undefined || parsed >= least) return parsed;
      const msg = `Input should be greater than or equal to ${least}`;
      return refuse(problems, { type: 'greater_than_equal', loc, msg, input, ctx: { ge: least } }, least);
    }
    const problem =
      typeof input === 'string'
        ? {
            type: 'int_parsing',
            msg: 'Input should be a valid integer, unable to parse string as an integer',
          }
        : typeof parsed === 'number'
          ? {
              type: 'int_from_float',
              msg: 'Input should be a valid integer, got a number with a fractional part',
            }
          : { type: 'int_type', msg: 'Input should be a valid integer' };
    return refuse(problems, { type: problem.type, loc, msg: problem.msg, input }, 0);
  });
}

/** Bounds of a number, as pydantic words them. */
interface Bounds {
  ge?: number;
  gt?: number;
  le?: number;
}

const BOUNDS = [
  { key: 'gt', type: 'greater_than', words: 'greater than', keeps: (a: number, b: number) => a > b },
  {
    key: 'ge',
    type: 'greater_than_equal',
    words: 'greater than or equal to',
    keeps: (a: number, b: number) => a >= b,
  },
  {
    key: 'le',
    type: 'less_than_equal',
    words: 'less than or equal to',
    keeps: (a: number, b: number) => a <= b,
  },
] as const;

function within(inner: Field<number>, bounds: Bounds, show: (bound: number) => unknown): Field<number> {
  return field((input, loc, problems) => {
    const before = problems.length;
    const value = inner.parse(input, loc, problems);
    for (const { key, type, words, keeps } of BOUNDS) {
      const bound = bounds[key];
      if (problems.length > before || bound === undefined || keeps(value, bound)) continue;
      const msg = `Input should be ${words} ${bound}`;
      refuse(problems, { type, loc, msg, input, ctx: { [key]: show(bound) } }, value);
    }
    return value;
  });
}

/** An integer with bounds of any kind. */
export const whole = (bounds: Bounds): Field<number> => within(int(), bounds, (bound) => bound);

/** A float; its bounds are shown as floats. */
export const number = (bounds: Bounds = {}): Field<number> => within(plainNumber, bounds, float);

const plainNumber = field<number>((input, loc, problems) => {
  if (typeof input === 'number' || input instanceof LosslessNumber) return Number(input);
  if (typeof input === 'boolean') return Number(input);
  if (typeof input !== 'string')
    return refuse(problems, { type: 'float_type', loc, msg: 'Input should be a valid number', input }, 0);
  if (input.trim() !== '' && !Number.isNaN(Number(input))) return Number(input);
  const msg = 'Input should be a valid number, unable to parse string as a number';
  return refuse(problems, { type: 'float_parsing', loc, msg, input }, 0);
});

const TRUE = new Set(['true', '1', 'yes', 'on', 't', 'y']);
const FALSE = new Set(['false', '0', 'no', 'off', 'f', 'n']);

export const bool = field<boolean>((input, loc, problems) => {
  if (typeof input === 'boolean') return input;
  if (typeof input === 'number' && (input === 0 || input === 1)) return input === 1;
  const word = typeof input === 'string' ? input.toLowerCase() : '';
  if (TRUE.has(word)) return true;
  if (FALSE.has(word)) return false;
  if (typeof input === 'string') {
    const msg = 'Input should be a valid boolean, unable to interpret input';
    return refuse(problems, { type: 'bool_parsing', loc, msg, input }, false);
  }
  return refuse(problems, { type: 'bool_type', loc, msg: 'Input should be a valid boolean', input }, false);
});

export const time = field<Micros>((input, loc, problems) => {
  if (typeof input === 'number') return Math.trunc(input > 1e11 ? input * 1000 : input * 1_000_000);
  const value = typeof input === 'string' ? parseTime(input) : undefined;
  if (value !== undefined) return value;
  const msg = `Value error, Unable to parse string [${String(input)}]`;
  return refuse(problems, { type: 'value_error', loc, msg, input, ctx: { error: {} } }, 0);
});

export function oneOf<const W extends string>(...words: W[]): Field<W> {
  return choice('enum', words);
}

export function literal<const W extends string>(...words: W[]): Field<W> {
  return choice('literal_error', words);
}

function choice<W extends string>(type: string, words: W[]): Field<W> {
  return field((input, loc, problems) => {
    const found = words.find((word) => word === input);
    if (found !== undefined) return found;
    const quoted = words.map((word) => `'${word}'`);
    const expected =
      quoted.length < 2 ? quoted.join('') : `${quoted.slice(0, -1).join(', ')} or ${quoted.at(-1) ?? ''}`;
    const problem = { type, loc, msg: `Input should be ${expected}`, input, ctx: { expected } };
    return refuse(problems, problem, words[0] as W);
  });
}

export function list<T>(item: Field<T>): Field<T[]> {
  return field((input, loc, problems) =>
    Array.isArray(input)
      ? input.map((value, index) => item.parse(value, [...loc, index], problems))
      : refuse(problems, { type: 'list_type', loc, msg: 'Input should be a valid list', input }, []),
  );
}

export const dict = field<Obj>((input, loc, problems) =>
  isObj(input)
    ? input
    : refuse(problems, { type: 'dict_type', loc, msg: 'Input should be a valid dictionary', input }, {}),
);

const LABEL_KINDS = [
  ['bool', 'bool_type', 'Input should be a valid boolean'],
  ['int', 'int_type', 'Input should be a valid integer'],
  ['float', 'float_type', 'Input should be a valid number'],
  ['str', 'string_type', 'Input should be a valid string'],
] as const;

/** Labels, as creations take them: plain values only. */
export const labels = field<Obj>((input, loc, problems) => {
  const given = dict.parse(input, loc, problems);
  for (const [key, value] of Object.entries(given)) {
    if (value !== null && !isObj(value) && !Array.isArray(value)) continue;
    for (const [kind, type, msg] of LABEL_KINDS)
      problems.push({ type, loc: [...loc, key, kind], msg, input: value });
  }
  return given;
});

/** May be left out or null. */
export function optional<T>(inner: Field<T>): Field<T | null> {
  return {
    parse: (value, loc, problems) => (value === null ? null : inner.parse(value, loc, problems)),
    fallback: () => null,
  };
}

/** May be left out; null is refused like any other wrong value. */
export function defaulted<T>(inner: Field<T>, fallback: () => T): Field<T> {
  return { parse: inner.parse, fallback };
}

/** May be left out, which is not the same as any value; null is refused. */
export function absent<T>(inner: Field<T>): Field<T | null> {
  return { parse: inner.parse, fallback: () => null };
}

/** A pydantic model: unknown keys are refused. */
export function model<S extends Shape>(shape: S): Field<OutOf<S>> {
  return field((input, loc, problems) => {
    const type = 'model_attributes_type';
    const msg = 'Input should be a valid dictionary or object to extract fields from';
    if (!isObj(input)) return refuse(problems, { type, loc, msg, input }, {} as OutOf<S>);
    const out = fill(shape, input, loc, problems, input);
    for (const [key, value] of Object.entries(input)) {
      if (key in shape) continue;
      const problem = {
        type: 'extra_forbidden',
        loc: [...loc, key],
        msg: 'Extra inputs are not permitted',
        input: value,
      };
      problems.push(problem);
    }
    return out;
  });
}

/** Several `Body()` parameters: unknown keys are ignored, a missing one reports a null input. */
export function params<S extends Shape>(shape: S): Field<OutOf<S>> {
  return {
    parse: (input, loc, problems) => {
      if (isObj(input)) return fill(shape, input, loc, problems, null);
      for (const key of Object.keys(shape)) {
        problems.push({ type: 'missing', loc: [...loc, key], msg: 'Field required', input: null });
      }
      return {} as OutOf<S>;
    },
    fallback: () => ({}) as OutOf<S>,
  };
}

function fill<S extends Shape>(
  shape: S,
  input: Obj,
  loc: Loc,
  problems: Problem[],
  missing: unknown,
): OutOf<S> {
  const entries = Object.entries(shape).map(([key, inner]): [string, unknown] => {
    if (input[key] !== undefined) return [key, inner.parse(input[key], [...loc, key], problems)];
    if (inner.fallback !== undefined) return [key, inner.fallback()];
    problems.push({ type: 'missing', loc: [...loc, key], msg: 'Field required', input: missing });
    return [key, undefined];
  });
  return Object.fromEntries(entries) as OutOf<S>;
}
