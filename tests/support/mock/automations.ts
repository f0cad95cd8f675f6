import { compare } from './flows.js';
import { type Route, created, noContent, objectNotFound, route } from './http.js';
import { type Obj, float } from './json.js';
import { ids, join, matchWord, names, operator } from './match.js';
import { limit, limitOf, offset } from './paging.js';
import { type Row, type State, row } from './state.js';
import { formatTime, nowMillis } from './time.js';
import { absent, bool, defaulted, dict, list, model, oneOf, optional, params, text } from './validate.js';

export interface Automation extends Row {
  name: string;
  description: string;
  enabled: boolean;
  tags: string[];
  trigger: Obj;
  actions: Obj[];
}

const create = model({
  name: text,
  description: defaulted(text, () => ''),
  enabled: defaulted(bool, () => true),
  tags: defaulted(list(text), () => []),
  trigger: dict,
  actions: list(dict),
  actions_on_trigger: absent(list(dict)),
  actions_on_resolve: absent(list(dict)),
  owner_resource: optional(text),
});
const update = model({ enabled: defaulted(bool, () => true) });
const filter = params({
  sort: defaulted(oneOf('CREATED_DESC', 'UPDATED_DESC', 'NAME_ASC', 'NAME_DESC'), () => 'NAME_ASC' as const),
  limit,
  offset,
  automations: optional(model({ operator, id: ids, name: names })),
});

/** Automations with a trigger of type `event`. */
export function automationRoutes(state: State, all: Map<string, Automation>): Route[] {
  const read = (id = ''): Automation => {
    const found = all.get(id);
    if (found === undefined) throw objectNotFound('Automation not found');
    return found;
  };
  return [
    route('post', '/automations/', async (call) => {
      const wanted = await call.read(create);
      const { name, description, enabled, tags, actions } = wanted;
      const base = row();
      const trigger = withDefaults(wanted.trigger, base.id);
      const automation = { name, description, enabled, tags, trigger, actions, ...base };
      all.set(automation.id, automation);
      return created(view(automation));
    }),
    route('post', '/automations/filter', async (call) => {
      const wanted = await call.read(filter);
      const most = limitOf(state, wanted.limit);
      const tests = wanted.automations;
      const found = [...all.values()]
        .filter(
          ({ id, name }) =>
            tests === null || join(tests.operator, matchWord(tests.id, id), matchWord(tests.name, name)),
        )
        .sort((a, b) => compare(a.name, b.name));
      return found.slice(wanted.offset, wanted.offset + most).map(view);
    }),
    route('get', '/automations/:id', ({ params: { id } }) => view(read(id))),
    route('patch', '/automations/:id', async (call) => {
      const { enabled } = await call.read(update);
      Object.assign(read(call.params['id']), { enabled, updated: nowMillis() });
      return noContent();
    }),
    route('delete', '/automations/:id', ({ params: { id } }) => {
      all.delete(read(id).id);
      return noContent();
    }),
  ];
}

/** As the server writes it back, with its keys in their order. */
function withDefaults(trigger: Obj, id: string): Obj {
  return {
    type: trigger['type'],
    id,
    match: trigger['match'] ?? {},
    match_related: trigger['match_related'] ?? {},
    after: trigger['after'] ?? [],
    expect: trigger['expect'] ?? [],
    for_each: trigger['for_each'] ?? [],
    posture: trigger['posture'],
    threshold: trigger['threshold'] ?? 1,
    within: float(Number(trigger['within'] ?? 0)),
  };
}

function view({ id, created: made, updated, ...automation }: Automation): Obj {
  return {
    ...automation,
    actions_on_trigger: [],
    actions_on_resolve: [],
    id,
    created: formatTime(made),
    updated: formatTime(updated),
  };
}
