import { API_KEY_SCHEMES } from './http/keys.js';
import type { App } from './http/router.js';
import { flowRunEnded } from './routes/host-webhook.js';
import { VERSION } from './version.js';

const INTRODUCTION = `A REST facade over the Prefect orchestrator, for hosts that work synchronously.

Errors are \`{"detail": ..., "code": ..., "request_id": ...}\`, with \`upstream\` where Prefect explained itself. A 4xx is
about the request; an outage of the orchestrator is always a 5xx. Each reply carries \`x-request-id\`, the caller's own where
it sent one.

What is tried from this page is really done: runs start, DELETE deletes. Ids in the examples are made up: put in yours.`;

/** In the order of the page: what hosts begin with comes first. */
const TAGS = {
  Deployments: 'A flow with its parameters, schedule and queue; from it, runs are started',
  'Flow runs': 'Read, poll, list, retry, cancel, delete',
  'Graph and logs': 'What happened inside a run',
  Waiting:
    'For the end of runs, without asking again and again; what became of them, or why they do not start',
  'Synchronous runs': 'A worker runs them; the reply comes when they are over',
  Deliveries: 'Which ends of runs the host was told of, and telling it again',
  Secrets: 'Blocks with one secret value each',
  'Airbyte blocks': 'Servers and connections of Airbyte',
  Blocks: 'Blocks of any type',
  System: 'The orchestrator, its workers, and this service',
  Webhooks: 'What the orchestrator calls, and what the host is sent',
};

/** The OpenAPI 3.1 document of all routes. */
export function openApiDocument(app: App) {
  app.openAPIRegistry.registerWebhook(flowRunEnded);
  return app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'prefect-proxy',
      version: VERSION,
      description: INTRODUCTION,
      license: { name: 'MIT', url: 'https://opensource.org/license/mit' },
    },
    // Relative to the document, so that it holds below any path prefix of a proxy.
    servers: [{ url: '.' }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    // Any one of them.
    security: Object.keys(API_KEY_SCHEMES).map((name) => ({ [name]: [] })),
  });
}
