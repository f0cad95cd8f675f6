import { ExactNumber } from '../json.js';
import type { AutomationFields } from '../prefect/automations.js';
import type { PolicyFields } from '../prefect/notification-policies.js';
import type { BlockTypeSpec } from './block-types.js';
import type { WebhookTarget } from './webhook-target.js';

/** The name of everything that is registered here. */
export const WEBHOOK_NAME = 'prefect-proxy-webhook';

/** Prefect's own type, as far as it is used here. */
export const CUSTOM_WEBHOOK: BlockTypeSpec = {
  name: 'Custom Webhook',
  slug: 'custom-webhook',
  properties: {
    name: { title: 'Name', type: 'string' },
    url: { title: 'Webhook URL', type: 'string' },
    method: { title: 'Method', type: 'string', default: 'POST' },
    json_data: { title: 'JSON Data', type: 'object' },
    headers: { title: 'Headers', type: 'object' },
    timeout: { title: 'Timeout', type: 'number', default: 10 },
    secrets: { title: 'Custom Secret Values', type: 'object' },
  },
  required: ['name', 'url'],
  secretFields: ['secrets.*'],
  capabilities: ['notify'],
};

/** The data of the block: the key stands among its secrets, which Prefect encrypts, hides and puts into the header. */
export function webhookBlock({ url, key }: WebhookTarget): Record<string, unknown> {
  return {
    name: WEBHOOK_NAME,
    url,
    method: 'POST',
    headers: { 'X-Notification-Key': '{{key}}' },
    json_data: { body: '{{body}}' },
    secrets: { key },
    // Prefect runs two actions at a time and tries each four times: one receiver that hangs holds up all of them.
    timeout: 3,
  };
}

/** The automation that posts through the block. */
export function webhookAutomation(blockId: string): AutomationFields {
  return {
    name: WEBHOOK_NAME,
    description:
      'Tells prefect-proxy that a flow run has ended. Made by it: what is changed here, it undoes.',
    trigger: {
      type: 'event',
      posture: 'Reactive',
      expect: ['prefect.flow-run.*'],
      match: {
        'prefect.resource.id': 'prefect.flow-run.*',
        // By type: states can have any name.
        'prefect.state-type': ['COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED'],
      },
      match_related: {},
      for_each: ['prefect.resource.id'],
      threshold: 1,
      // More, and a run that ends twice in that time is announced once.
      within: 0,
    },
    actions: [
      {
        type: 'send-notification',
        block_document_id: blockId,
        subject: 'flow run ended',
        // The event itself, as far as its receiver reads it: its id is that of the state. Names are left out: they may
        // hold what is no JSON. `flow_run` would be read from the API, and be nothing once the run is deleted.
        body: JSON.stringify({
          id: '{{ event.id }}',
          event: 'prefect.flow-run.ended',
          resource: {
            'prefect.resource.id': '{{ event.resource.id }}',
            'prefect.state-type': "{{ event.resource['prefect.state-type'] }}",
          },
        }),
      },
    ],
  };
}

/** The same for servers before 3.4. They know states by name only, so every state is told: the receiver looks itself. */
export function webhookPolicy(blockId: string): PolicyFields {
  return {
    state_names: [],
    tags: [],
    block_document_id: blockId,
    message_template: 'Flow run {flow_run_name} with id {flow_run_id} entered state {flow_run_state_name}',
  };
}

/**
 * Names of the fields in which an object is not as wanted, like `trigger.match`; never their values. Nothing, null and
 * empty are the same, lists of texts have no order (Prefect keeps sets), and the ids that Prefect adds do not count.
 */
export function drift(wanted: unknown, found: unknown, field = ''): string[] {
  const [left, right] = [settled(wanted), settled(found)];
  if (!isObject(left) || !isObject(right)) return left === right ? [] : [field];
  const keys = new Set([...Object.keys(left), ...Object.keys(right)]);
  if (field !== '') keys.delete('id');
  return [...keys].flatMap((key) => drift(left[key], right[key], field === '' ? key : `${field}.${key}`));
}

function settled(value: unknown): unknown {
  if (value === null) return undefined;
  if (value instanceof ExactNumber) return Number(value.text);
  if (Array.isArray(value) && value.every((item) => typeof item === 'string'))
    return value.length === 0 ? undefined : JSON.stringify([...value].sort());
  if (isObject(value) && Object.keys(value).length === 0) return undefined;
  return value;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
