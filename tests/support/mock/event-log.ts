import { randomUUID } from 'node:crypto';
import { type Automation } from './automations.js';
import { eventFilter, eventTest } from './event-filter.js';
import { type Event, type NewEvent, eventView } from './events.js';
import { type Call, type Route, noContent, route } from './http.js';
import { type Obj, isObj } from './json.js';
import { isFinal } from './run-states.js';
import { STATE_TYPES, type State } from './state.js';
import { now } from './time.js';
import {
  type Out,
  defaulted,
  dict,
  list,
  model,
  optional,
  params,
  text,
  time,
  uuid,
  whole,
} from './validate.js';

const most = 50;
const filter = params({
  filter: optional(eventFilter),
  limit: defaulted(whole({ ge: 0, le: most }), () => most),
});
type Wanted = Out<typeof filter>;
const emitted = list(
  model({
    occurred: time,
    event: text,
    resource: dict,
    related: defaulted(list(dict), () => []),
    payload: defaulted(dict, () => ({})),
    id: uuid,
    follows: optional(uuid),
  }),
);

/**
 * `/events/filter`: state changes of flow runs, and what automations made of them. A real server acts and lists a
 * little later; here both happen when the list is asked for.
 */
export function eventLogRoutes(state: State, automations: Map<string, Automation>): Route[] {
  const acted = new Set<string>();
  const act = async () => {
    for (const cause of state.events.all.filter(isEnd)) {
      for (const automation of automations.values()) {
        const key = `${automation.id} ${cause.id}`;
        if (!automation.enabled || cause.occurred < automation.created || acted.has(key)) continue;
        acted.add(key);
        for (const event of await fire(state, automation, cause)) state.events.add(event);
      }
    }
  };
  const answer = (call: Call, wanted: Wanted, from: number) => {
    const asked = wanted.filter ?? eventFilter.parse({}, [], []);
    const found = state.events.all.filter(eventTest(asked, true));
    found.sort((a, b) => (asked.order === 'ASC' ? a.occurred - b.occurred : b.occurred - a.occurred));
    const next = from + wanted.limit;
    const events = found.slice(from, next).map(eventView);
    return { events, total: found.length, next_page: next < found.length ? link(call, wanted, next) : null };
  };
  return [
    route('post', '/events/filter', async (call) => {
      const wanted = await call.read(filter);
      await act();
      return answer(call, wanted, 0);
    }),
    route('post', '/events', async (call) => {
      for (const event of await call.read(emitted)) state.events.add(event);
      return noContent();
    }),
    route('get', '/events/filter/next', (call) => {
      const token = Buffer.from(call.query.get('page-token') ?? '', 'base64').toString();
      const { wanted, from } = JSON.parse(token) as { wanted: Wanted; from: number };
      return answer(call, wanted, from);
    }),
  ];
}

/** The token carries the whole question. */
function link(call: Call, wanted: Wanted, from: number): string {
  const token = Buffer.from(JSON.stringify({ wanted, from })).toString('base64');
  return `http://${call.headers.get('host') ?? ''}/api/events/filter/next?page-token=${encodeURIComponent(token)}`;
}

/** State changes of flow runs that ended. */
function isEnd({ event, resource }: Event): boolean {
  const type = STATE_TYPES.find((one) => one === resource['prefect.state-type']);
  return event.startsWith('prefect.flow-run.') && type !== undefined && isFinal(type);
}

async function fire(state: State, automation: Automation, cause: Event): Promise<NewEvent[]> {
  const about = (event: string, payload: Obj = {}): NewEvent => ({
    id: randomUUID(),
    event: `prefect.automation.${event}`,
    occurred: now(),
    resource: { 'prefect.resource.id': `prefect.automation.${automation.id}` },
    related: [
      { 'prefect.resource.id': `prefect.event.${cause.id}`, 'prefect.resource.role': 'triggering-event' },
    ],
    payload,
    follows: null,
  });
  const triggered = about('triggered');
  const action = automation.actions[0] ?? {};
  const block = state.blockDocuments.get(String(action['block_document_id']));
  if (block === undefined)
    return [triggered, about('action.failed', { reason: "Unexpected status from 'custom-webhook' block" })];
  const isAnswered = await post(block.data, render(String(action['body']), cause));
  return isAnswered ? [triggered, about('action.executed')] : [triggered];
}

/** A send-notification through a custom-webhook block. @returns whether the answer is a 2xx */
function post(data: Obj, body: string): Promise<boolean> {
  const secrets = isObj(data['secrets']) ? data['secrets'] : {};
  const fill = (given: unknown) =>
    Object.fromEntries(
      Object.entries(isObj(given) ? given : {}).map(([key, value]) => [
        key,
        filled(String(value), { ...secrets, body }),
      ]),
    );
  return fetch(String(data['url']), {
    method: String(data['method']),
    headers: { 'content-type': 'application/json', ...fill(data['headers']) },
    body: JSON.stringify(fill(data['json_data'])),
  }).then(
    ({ ok }) => ok,
    () => false,
  );
}

/** The expressions of Jinja that are used. */
function render(template: string, { id, resource }: Event): string {
  return template.replace(/\{\{ (.+?) \}\}/g, (_whole, expression: string) => {
    const label = /^event\.resource\['(.+)'\]$/.exec(expression)?.[1];
    if (label !== undefined) return String(resource[label]);
    if (expression === 'event.id') return id;
    if (expression === 'event.resource.id') return String(resource['prefect.resource.id']);
    throw new Error(`The mock orchestrator cannot render ${expression}`);
  });
}

function filled(template: string, values: Obj): string {
  return template.replace(/\{\{(\w+)\}\}/g, (_whole, name: string) => String(values[name]));
}
