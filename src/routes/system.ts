import { z } from '@hono/zod-openapi';
import * as admin from '../prefect/admin.js';
import * as requests from '../schemas/requests.js';
import { countWorkers } from '../services/workers.js';
import type { RouteContext } from './context.js';

const tag = 'System';

export function addSystemRoutes({ router, limits }: RouteContext): void {
  router.add(
    {
      method: 'get',
      path: '/proxy/prefect/version',
      operationId: 'getPrefectVersion',
      summary: "The orchestrator's version",
      tag,
      input: z.object({}),
      reply: z.string(),
      example: { reply: '3.8.8' },
      failure: 'failed to fetch the prefect version',
    },
    (_input, { prefect }) => admin.version(prefect),
  );

  router.add(
    {
      method: 'post',
      path: '/proxy/workers/filter/',
      operationId: 'countWorkers',
      summary: 'Counts the workers that would pick up a run of these pools and queues',
      tag,
      priority: 'normal',
      input: z.object({ body: requests.workers }),
      reply: z.object({ count: z.number().int() }),
      example: {
        body: { work_queue_names: ['ddp'], work_pool_names: ['dalgo_work_pool'], status: 'ONLINE' },
        reply: { count: 1 },
      },
      failure: 'failed to fetch prefect workers',
      errors: [400],
    },
    async ({ body }, { prefect }) => ({ count: await countWorkers(prefect, limits, body) }),
  );

  router.add(
    {
      method: 'get',
      path: '/sentry-debug',
      operationId: 'raiseError',
      summary: 'Raises on purpose, to prove that error reporting works',
      tag,
      input: z.object({}),
      reply: z.null(),
      example: { reply: null },
      failure: 'Internal Server Error',
    },
    () => Promise.reject(new Error('raised on purpose by /sentry-debug')),
  );
}
