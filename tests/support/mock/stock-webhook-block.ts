import { addSchema, addType } from './block-types.js';
import { type State } from './state.js';

/** The type `custom-webhook`, which every server registers at its start; without what people read. */
export function addStockWebhookBlock(state: State): void {
  const type = addType(state, {
    name: 'Custom Webhook',
    slug: 'custom-webhook',
    logo: 'https://example.invalid/webhook.png',
    documentation: 'https://docs.prefect.io/latest/automate/events/automations-triggers',
    description: 'Enables sending notifications via any custom webhook.',
    example: null,
    protected: true,
  });
  const dict = { anyOf: [{ type: 'object' }, { type: 'null' }], default: null };
  const fields = {
    block_type_slug: 'custom-webhook',
    properties: {
      name: { title: 'Name', type: 'string', position: 0 },
      url: { title: 'Webhook URL', type: 'string', position: 1 },
      method: { default: 'POST', title: 'Method', type: 'string', position: 2 },
      params: { ...dict, title: 'Query Params', position: 3 },
      json_data: { ...dict, title: 'JSON Data', position: 4 },
      form_data: { ...dict, title: 'Form Data', position: 5 },
      headers: { ...dict, title: 'Headers', position: 6 },
      cookies: { ...dict, title: 'Cookies', position: 7 },
      timeout: { default: 10, title: 'Timeout', type: 'number', position: 8 },
      allow_private_urls: { default: true, title: 'Allow Private Urls', type: 'boolean', position: 9 },
      secrets: { title: 'Custom Secret Values', type: 'object', position: 10 },
    },
    required: ['name', 'url'],
    secret_fields: ['secrets.*'],
    title: 'CustomWebhookNotificationBlock',
    type: 'object',
    block_schema_references: {},
  };
  addSchema(state, { fields, typeId: type.id, capabilities: ['notify'], version: state.version });
}
