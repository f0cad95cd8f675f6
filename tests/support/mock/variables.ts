import { type Route, conflict, created, integrity, noContent, notFound, route } from './http.js';
import { type Obj, beyond64Bits, pythonRepr, toJson } from './json.js';
import { type State, type Variable, find, row } from './state.js';
import { formatTime, nowMillis } from './time.js';
import { defaulted, field, list, model, optional, text } from './validate.js';

const LONGEST_NAME = 255;
const LARGEST_VALUE = 5000;

const name = field<string>((input, loc, problems) => {
  const before = problems.length;
  const value = text.parse(input, loc, problems);
  if (problems.length > before) return value;
  // Python's `$` takes a line end at the end, and nothing at all is a name too.
  if (!/^[a-z0-9_-]*\n?$/.test(value)) {
    const msg =
      'Value error, Variable name must only contain lowercase letters, numbers, and dashes or underscores.';
    problems.push({ type: 'value_error', loc, msg, input, ctx: { error: {} } });
  } else if (value.length > LONGEST_NAME) {
    const msg = `Value should have at most ${LONGEST_NAME} items after validation, not ${value.length}`;
    const ctx = { field_type: 'Value', max_length: LONGEST_NAME, actual_length: value.length };
    problems.push({ type: 'too_long', loc, msg, input, ctx });
  }
  return value;
});

/** Any JSON, limited in its bytes. */
const value = field<unknown>((input, loc, problems) => {
  const trouble = beyond64Bits(input)
    ? 'Variable value must be serializable to JSON'
    : input !== null && Buffer.byteLength(toJson(input)) > LARGEST_VALUE
      ? `Variable value must be less than ${LARGEST_VALUE} characters`
      : undefined;
  if (trouble !== undefined) {
    problems.push({ type: 'value_error', loc, msg: `Value error, ${trouble}`, input, ctx: { error: {} } });
  }
  return input;
});

const create = model({ name, value, tags: defaulted(list(text), () => []) });
const update = model({
  name: optional(name),
  value: defaulted(value, () => undefined),
  tags: optional(list(text)),
});

/** `/variables`, by name. */
export function variableRoutes(state: State): Route[] {
  const byName = (wanted: string) => find(state.variables, (one) => one.name === wanted);
  const read = (wanted = ''): Variable => {
    const found = byName(wanted);
    if (found === undefined) throw notFound('Variable not found.');
    return found;
  };
  return [
    route('post', '/variables/', async (call) => {
      const wanted = await call.read(create);
      if (byName(wanted.name) !== undefined) {
        throw conflict(`A variable with the name ${pythonRepr(wanted.name)} already exists.`);
      }
      const made: Variable = { ...row(), ...wanted };
      state.variables.set(made.id, made);
      return created(view(made));
    }),
    route('get', '/variables/name/:name', ({ params }) => view(read(params['name']))),
    route('patch', '/variables/name/:name', async (call) => {
      const wanted = await call.read(update);
      const raw = (await call.raw()) as Obj;
      const found = read(call.params['name']);
      // Null is taken, and then refused by the database.
      if (raw['name'] === null || raw['tags'] === null) throw integrity();
      const taken = wanted.name === null ? undefined : byName(wanted.name);
      if (taken !== undefined && taken !== found) throw integrity();
      found.name = wanted.name ?? found.name;
      if ('value' in raw) found.value = wanted.value;
      found.tags = wanted.tags ?? found.tags;
      found.updated = nowMillis();
      return noContent();
    }),
    route('delete', '/variables/name/:name', ({ params }) => {
      state.variables.delete(read(params['name']).id);
      return noContent();
    }),
  ];
}

function view(one: Variable): Obj {
  return {
    id: one.id,
    created: formatTime(one.created),
    updated: formatTime(one.updated),
    name: one.name,
    value: one.value,
    tags: one.tags,
  };
}
