import { randomUUID } from 'node:crypto';
import { type Automation } from './automations.js';
import { type Route, route } from './http.js';
import { type Obj, isObj } from './json.js';
import { isFinal } from './run-states.js';
import { type FlowRun, type RunState, type State } from './state.js';
import { type Micros, formatTime, now } from './time.js';
import { absent, defaulted, int, list, model, optional, params, text, time } from './validate.js';

const filter = params({
  filter: optional(
    model({
      occurred: absent(model({ since: absent(time), until: absent(time) })),
      id: absent(model({ id: list(text) })),
      event: absent(model({ name: optional(list(text)), prefix: optional(list(text)) })),
      resource: absent(model({ id: list(text) })),
    }),
  ),
  limit: defaulted(int(0), () => 50),
});

interface Event {
  id: string;
  event: string;
  occurred: Micros;
  resource: Obj;
  related: Obj[];
  payload: Obj;
}

/**
 * `/events/filter`: state changes of flow runs, and what automations made of them. A real server acts and lists a
 * little later; here both happen when the list is asked for.
 */
export function eventLogRoutes(state: State, automations: Map<string, Automation>): Route[] {
  const actions = new Map<string, Promise<Event[]>>();
  const act = () => {
    for (const run of state.flowRuns.values()) {
      for (const ended of run.history.filter(({ type }) => isFinal(type))) {
        for (const automation of automations.values()) {
          const key = `${automation.id} ${ended.id}`;
          if (!automation.enabled || ended.timestamp < automation.created || actions.has(key)) continue;
          actions.set(key, fire(state, automation, stateChange(run, ended)));
        }
      }
    }
    return Promise.all(actions.values()).then((events) => events.flat());
  };
  return [
    route('post', '/events/filter', async (call) => {
      const wanted = await call.read(filter);
      const acted = await act();
      const changes = [...state.flowRuns.values()].flatMap((run) =>
        run.history.map((item) => stateChange(run, item)),
      );
      const { occurred, id, event, resource } = wanted.filter ?? {};
      const found = [...changes, ...acted].filter(
        (one) =>
          one.occurred >= (occurred?.since ?? 0) &&
          (id?.id.includes(one.id) ?? true) &&
          (event?.name?.includes(one.event) ?? true) &&
          (event?.prefix?.some((prefix) => one.event.startsWith(prefix)) ?? true) &&
          (resource?.id.includes(String(one.resource['prefect.resource.id'])) ?? true),
      );
      found.sort((a, b) => b.occurred - a.occurred);
      const events = found.slice(0, wanted.limit).map(view);
      return { events, total: found.length, next_page: null };
    }),
  ];
}

function view(event: Event): Obj {
  const occurred = formatTime(event.occurred);
  return { ...event, occurred, follows: null, received: occurred };
}

/** A state change has the id of the state. */
function stateChange(run: FlowRun, state: RunState): Event {
  return {
    id: state.id,
    event: `prefect.flow-run.${state.name}`,
    occurred: state.timestamp,
    resource: {
      'prefect.resource.id': `prefect.flow-run.${run.id}`,
      'prefect.resource.name': run.name,
      'prefect.state-name': state.name,
      'prefect.state-type': state.type,
    },
    related: [],
    payload: {},
  };
}

/** What comes of a POST that fails is not told: it is tried again, and then dropped. */
async function fire(state: State, automation: Automation, cause: Event): Promise<Event[]> {
  const about = (event: string, payload: Obj = {}): Event => ({
    id: randomUUID(),
    event: `prefect.automation.${event}`,
    occurred: now(),
    resource: { 'prefect.resource.id': `prefect.automation.${automation.id}` },
    related: [
      { 'prefect.resource.id': `prefect.event.${cause.id}`, 'prefect.resource.role': 'triggering-event' },
    ],
    payload,
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
function render(template: string, { resource }: Event): string {
  return template.replace(/\{\{ (.+?) \}\}/g, (_whole, expression: string) => {
    const label = /^event\.resource\['(.+)'\]$/.exec(expression)?.[1];
    if (label !== undefined) return String(resource[label]);
    if (expression === "event.resource.id.split('.')[-1]")
      return String(resource['prefect.resource.id']).split('.').at(-1) ?? '';
    throw new Error(`The mock orchestrator cannot render ${expression}`);
  });
}

function filled(template: string, values: Obj): string {
  return template.replace(/\{\{(\w+)\}\}/g, (_whole, name: string) => String(values[name]));
}
