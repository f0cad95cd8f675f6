import { API_KEY_SCHEMES } from './http/keys.js';
import type { App } from './http/router.js';

/** The OpenAPI 3.1 document of all routes. */
export function openApiDocument(app: App) {
  for (const [name, scheme] of Object.entries(API_KEY_SCHEMES))
    app.openAPIRegistry.registerComponent('securitySchemes', name, scheme);
  return app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'prefect-proxy',
      version: '0.1.0',
      description: 'A REST facade over the Prefect orchestrator, for hosts that work synchronously.',
      license: { name: 'MIT', url: 'https://opensource.org/license/mit' },
    },
    servers: [{ url: '/' }],
    // One or the other.
    security: Object.keys(API_KEY_SCHEMES).map((name) => ({ [name]: [] })),
  });
}
