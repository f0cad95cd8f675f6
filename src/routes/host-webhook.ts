import { z, type RouteConfig } from '@hono/zod-openapi';
import { EXAMPLE_ID } from '../schemas/examples.js';
import { webhookBody, type WebhookBody } from '../services/settlement/webhook-message.js';

const time = '2026-01-31T03:00:00.123456Z';

/** As the page `/docs` and the documentation show it. */
export const exampleBody: WebhookBody = {
  body: `Flow run amber-otter with id ${EXAMPLE_ID} entered state Completed`,
  flow_run: {
    id: EXAMPLE_ID,
    name: 'amber-otter',
    flow_id: EXAMPLE_ID,
    deployment_id: EXAMPLE_ID,
    tags: ['acme'],
    labels: { 'prefect.flow.id': EXAMPLE_ID },
    org_slug: 'acme',
    state: { id: EXAMPLE_ID, type: 'COMPLETED', name: 'DBT_TEST_FAILED', timestamp: time, message: null },
    expected_start_time: '2026-01-31T02:59:00.000000Z',
    start_time: '2026-01-31T02:59:01.000000Z',
    end_time: time,
    total_run_time: 59.1,
    run_count: 1,
    work_pool_name: 'dalgo_work_pool',
    work_queue_name: 'ddp',
    source: 'run',
  },
};

const headers = z.object({
  'X-Notification-Key': z.string().optional().openapi({ description: '`HOST_WEBHOOK_KEY`' }),
  'webhook-id': z.string().openapi({
    description:
      '`{flow_run_id}:{state_id}`: the same each time that the same state is delivered. A host that keeps the ids it ' +
      'has handled can ignore the second one',
  }),
  'x-flow-run-source': z.string().optional().openapi({
    description:
      '`state_change` if the run itself could not be read, as `flow_run.source` says. Absent otherwise',
  }),
  'webhook-timestamp': z.string().openapi({ description: 'When it was sent, as Unix time in seconds' }),
  'webhook-signature': z.string().optional().openapi({
    description: 'Signature of Standard Webhooks, if `HOST_WEBHOOK_SECRET` is set',
  }),
});

/** The OpenAPI description of what this service sends to `HOST_WEBHOOK_URL`. */
export const flowRunEnded: RouteConfig = {
  method: 'post',
  path: 'flowRunEnded',
  operationId: 'flowRunEnded',
  summary: 'Tells the host (HOST_WEBHOOK_URL) that a flow run has ended',
  tags: ['Webhooks'],
  security: [],
  request: {
    headers,
    body: {
      required: true,
      content: { 'application/json': { schema: webhookBody, example: exampleBody } },
    },
  },
  responses: {
    '2XX': { description: 'Delivered. The body of the reply is not read' },
    410: { description: 'Not wanted: this message is not sent again' },
    default: {
      description:
        'Not delivered: sent again later, for some 29 hours. 400, 401 and 403 count as a wrong key',
    },
  },
};
