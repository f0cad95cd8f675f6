import { stateType } from './run-states.js';
import { type Run } from './state.js';
import { type Micros } from './time.js';
import { type Field, bool, defaulted, list, model, oneOf, optional, text, time, uuid } from './validate.js';

type Test = boolean | undefined;

/** The tests of the filters that were given, joined by the operator of their group. */
export function join(operator: 'and_' | 'or_', ...tests: Test[]): boolean {
  const given = tests.filter((test) => test !== undefined);
  if (given.length === 0) return true;
  return operator === 'and_' ? given.every(Boolean) : given.some(Boolean);
}

export const operator = defaulted(oneOf('and_', 'or_'), () => 'and_' as const);
export const ids = optional(model({ any_: optional(list(uuid)) }));
export const idsOrNot = optional(model({ any_: optional(list(uuid)), not_any_: optional(list(uuid)) }));
export const parentIds = optional(model({ operator, any_: optional(list(uuid)), is_null_: optional(bool) }));
export const names = optional(model({ any_: optional(list(text)), like_: optional(text) }));
export const words = <T>(word: Field<T>) =>
  optional(model({ any_: optional(list(word)), not_any_: optional(list(word)) }));
export const states = optional(model({ operator, type: words(stateType), name: words(text) }));
export const range = { before_: optional(time), after_: optional(time) };
export const times = optional(model(range));
export const nullableTimes = optional(model({ ...range, is_null_: optional(bool) }));
export const tags = optional(
  model({ operator, all_: optional(list(text)), any_: optional(list(text)), is_null_: optional(bool) }),
);

interface Words<T> {
  operator?: 'and_' | 'or_';
  any_?: T[] | null;
  not_any_?: T[] | null;
  like_?: string | null;
  is_null_?: boolean | null;
}

export function matchWord(filter: Words<string> | null, value: string | null): Test {
  if (filter === null) return undefined;
  const { any_, not_any_, like_, is_null_ } = filter;
  return join(
    filter.operator ?? 'and_',
    any_ ? value !== null && any_.includes(value) : undefined,
    not_any_ ? value !== null && !not_any_.includes(value) : undefined,
    like_ ? (value ?? '').toLowerCase().includes(like_.toLowerCase()) : undefined,
    typeof is_null_ === 'boolean' ? is_null_ === (value === null) : undefined,
  );
}

interface Range {
  before_: Micros | null;
  after_: Micros | null;
  is_null_?: boolean | null;
}

export function matchTime(filter: Range | null, value: Micros | null): Test {
  if (filter === null) return undefined;
  if (filter.before_ !== null && (value === null || value > filter.before_)) return false;
  if (filter.after_ !== null && (value === null || value < filter.after_)) return false;
  return typeof filter.is_null_ !== 'boolean' || filter.is_null_ === (value === null);
}

/** The range is about the start that a run has or is expected to have, null about the one it has. */
export function matchStart(filter: Range | null, start: Micros | null, own: Micros | null): Test {
  if (filter === null) return undefined;
  const { before_, after_, is_null_ } = filter;
  return matchTime({ before_, after_ }, start) !== false && (is_null_ ?? own === null) === (own === null);
}

interface Tags {
  operator: 'and_' | 'or_';
  all_: string[] | null;
  any_: string[] | null;
  is_null_: boolean | null;
}

export function matchTags(filter: Tags | null, value: string[]): Test {
  if (filter === null) return undefined;
  const { all_, any_, is_null_ } = filter;
  return join(
    filter.operator,
    all_ === null ? undefined : all_.every((tag) => value.includes(tag)),
    any_ === null ? undefined : any_.some((tag) => value.includes(tag)),
    is_null_ === null ? undefined : is_null_ === (value.length === 0),
  );
}

type StateFilter = ReturnType<typeof states.parse>;

export function matchState(filter: StateFilter, run: Run): Test {
  if (filter === null) return undefined;
  const { type, name } = filter;
  return join(
    filter.operator,
    matchWord(type, run.state?.type ?? null),
    matchWord(name, run.state?.name ?? null),
  );
}

export function parentWords() {
  return optional(model({ operator, any_: optional(list(text)), is_null_: optional(bool) }));
}
