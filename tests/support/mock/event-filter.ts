import { type Event } from './events.js';
import { type Obj } from './json.js';
import { type Micros, now } from './time.js';
import {
  type Field,
  type Out,
  bool,
  defaulted,
  dict,
  field,
  list,
  model,
  oneOf,
  optional,
  text,
  time,
  uuid,
} from './validate.js';

const DAY: Micros = 86_400_000_000;
const texts = optional(list(text));

/** Label -> one pattern or several. */
const specification = field((value, loc, problems): [string, string[]][] =>
  Object.entries(dict.parse(value, loc, problems)).map(([label, given]) => [
    label,
    typeof given === 'string' ? [given] : list(text).parse(given, [...loc, label], problems),
  ]),
);

const named = { id: texts, id_prefix: texts, labels: optional(specification) };
const byRelated = model({ id: texts, role: texts, labels: optional(specification) });

function oneOrMore<T>(inner: Field<T>): Field<T[]> {
  return field((value, loc, problems) =>
    Array.isArray(value) ? list(inner).parse(value, loc, problems) : [inner.parse(value, loc, problems)],
  );
}

const occurred = model({
  since: defaulted(time, () => Math.floor(now() / DAY) * DAY - 180 * DAY),
  until: defaulted(time, now),
});

/** Not imitated: `text`, `resource.distinct`, `related.resources_in_roles`. */
export const eventFilter = model({
  occurred: defaulted(occurred, () => occurred.parse({}, [], [])),
  event: optional(model({ prefix: texts, exclude_prefix: texts, name: texts, exclude_name: texts })),
  resource: optional(model({ ...named, distinct: defaulted(bool, () => false) })),
  related: optional(oneOrMore(byRelated)),
  any_resource: optional(oneOrMore(model(named))),
  id: defaulted(model({ id: optional(list(uuid)) }), () => ({ id: null })),
  order: defaulted(oneOf('ASC', 'DESC'), () => 'DESC' as const),
});
export type EventFilter = Out<typeof eventFilter>;
type Test = (event: Event) => boolean;

/**
 * The filter as a test. Stored events are looked up by SQL, which takes upper and lower case for the same; coming ones
 * are looked at by Python, which does not, and which does not look at `related` at all.
 */
export function eventTest(filter: EventFilter, stored: boolean): Test {
  const { event, resource, related, any_resource } = filter;
  const fold = (word: string) => (stored ? word.toLowerCase() : word);
  const starts = (prefixes: string[] | null | undefined) => given(prefixes)?.map(fold);
  const [prefixes, noPrefixes] = [starts(event?.prefix), starts(event?.exclude_prefix)];
  const [names, noNames] = [given(event?.name), given(event?.exclude_name)];
  const ids = given(filter.id.id);
  const own = resource === null ? undefined : resourceTest(resource, fold);
  const any = any_resource?.map((one) => resourceTest(one, fold));
  const others = stored ? related?.map((one) => resourceTest({ ...one, id_prefix: null }, fold)) : undefined;
  return (one) =>
    one.occurred >= filter.occurred.since &&
    one.occurred <= filter.occurred.until &&
    (ids?.includes(one.id) ?? true) &&
    (prefixes?.some((prefix) => fold(one.event).startsWith(prefix)) ?? true) &&
    !noPrefixes?.some((prefix) => fold(one.event).startsWith(prefix)) &&
    (names?.includes(one.event) ?? true) &&
    !noNames?.includes(one.event) &&
    (own?.(one.resource) ?? true) &&
    (any?.every((test) => [one.resource, ...one.related].some(test)) ?? true) &&
    (others?.every((test) => one.related.some(test)) ?? true);
}

/** An empty list is no filter. */
function given(words: string[] | null | undefined): string[] | undefined {
  return words === null || words?.length === 0 ? undefined : words;
}

interface ResourceFilter {
  id: string[] | null;
  id_prefix: string[] | null;
  labels: [string, string[]][] | null;
  role?: string[] | null;
}

function resourceTest(filter: ResourceFilter, fold: (word: string) => string): (resource: Obj) => boolean {
  const [ids, prefixes, roles] = [given(filter.id), given(filter.id_prefix)?.map(fold), given(filter.role)];
  const labels = (filter.labels ?? []).map(([label, patterns]) => ({
    label,
    tests: patterns.map((pattern) => glob(pattern, fold)),
  }));
  return (resource) => {
    const id = String(resource['prefect.resource.id']);
    return (
      (ids?.includes(id) ?? true) &&
      (prefixes?.some((prefix) => fold(id).startsWith(prefix)) ?? true) &&
      (roles?.includes(String(resource['prefect.resource.role'])) ?? true) &&
      labels.every(({ label, tests }) => {
        const value = resource[label];
        return typeof value === 'string' && tests.some((test) => test(fold(value)));
      })
    );
  };
}

/** `*` and `?`; a leading `!` turns it round. */
function glob(pattern: string, fold: (word: string) => string): (value: string) => boolean {
  const negated = pattern.startsWith('!');
  const body = fold(negated ? pattern.slice(1) : pattern)
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  const expression = new RegExp(`^${body}$`, 's');
  return (value) => expression.test(value) !== negated;
}
