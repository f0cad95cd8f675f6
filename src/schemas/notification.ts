import { z } from '@hono/zod-openapi';
import { jsonOrText } from '../json.js';
import { readStateChange } from '../prefect/state-change.js';
import type { Hint } from '../services/hints.js';
import { orNull, uuid } from './lax.js';

/*
 * What the orchestrator's automations send when a flow run changes its state. Each form becomes a hint; what is none of
 * them becomes undefined, because a sender can do nothing about a 4xx.
 */

/** The last id counts: a run may be named like a part of the sentence. */
const SENTENCE = /^\s*Flow run [^]* with id ([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}) entered state\b/i;
const RESOURCE = 'prefect.flow-run.';

/** A flow run, as the orchestrator's API shows it or as an automation's template writes it. */
const flowRun = z
  .object({
    id: uuid,
    flow_id: orNull(uuid),
    state: z.object({ id: orNull(uuid), state_details: z.object({ flow_run_id: orNull(uuid) }) }),
  })
  .transform(({ id, flow_id, state }, context): Hint => {
    if (state.state_details.flow_run_id === id) return hintOf(id, state.id);
    // A template's run carries a state made for the template: of no run, with an id that is nowhere else.
    if (state.state_details.flow_run_id === null && flow_id !== null) return hintOf(id, null);
    return refused(context);
  })
  .openapi('FlowRunNotification');

/** An event of a flow run. That of a state change has the id of the state. */
const event = z
  .looseObject({
    id: uuid,
    event: z.string().startsWith(RESOURCE),
    resource: z.looseObject({
      'prefect.resource.id': z
        .string()
        .startsWith(RESOURCE)
        .transform((resource): unknown => resource.slice(RESOURCE.length))
        .pipe(uuid),
      'prefect.state-type': z.string().optional(),
    }),
  })
  .transform((given): Hint => {
    const { id, resource } = given;
    const flowRunId = resource['prefect.resource.id'];
    const named = { ...resource, 'prefect.resource.id': `${RESOURCE}${flowRunId}` };
    const end = readStateChange({ ...given, resource: named });
    const hint = hintOf(flowRunId, resource['prefect.state-type'] === undefined ? null : id);
    return end ? { ...hint, end } : hint;
  })
  .openapi('FlowRunEvent');

const thing = z.union([flowRun, event]);

/** `Flow run NAME with id ID entered state STATE`, or the JSON of one of the above. */
const text = z.string().transform((given, context): Hint => {
  const id = SENTENCE.exec(given)?.[1];
  if (id !== undefined) return hintOf(id.toLowerCase(), null);
  return thing.safeParse(jsonOrText(given)).data ?? refused(context);
});

const content = z.union([text, thing]);

/** No JSON value is undefined. */
const anythingElse = z
  .unknown()
  .refine((given) => given !== undefined)
  .transform(() => undefined)
  .openapi({ description: 'Anything else: counted and ignored' });

/** The body of a notification: a hint, or undefined where it is of no known form. Refuses no JSON. */
export const notification = z.union([
  z.object({ body: content }).transform(({ body }) => body),
  z.object({ event: content }).transform(({ event }) => event),
  thing,
  anythingElse,
]);

function hintOf(flowRunId: string, stateId: string | null): Hint {
  return stateId === null ? { flowRunId } : { flowRunId, stateId };
}

function refused(context: z.RefinementCtx): never {
  context.addIssue({ code: 'custom', message: 'of no known form' });
  return z.NEVER;
}
