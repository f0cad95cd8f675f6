import { z } from '@hono/zod-openapi';
import * as requests from '../schemas/requests.js';
import { countWorkers } from '../services/workers.js';
import type { RouteContext } from './context.js';

const tag = 'System';

/** Says that a version is the last known one, because Prefect does not answer. */
const REACHABLE_HEADER = 'x-prefect-reachable';

export function addSystemRoutes({ router, limits, prefectVersion }: RouteContext): void {
  router.add(
    {
      method: 'get',
      path: '/proxy/prefect/version',
      operationId: 'getPrefectVersion',
      summary: "Prefect's version",
      description: `While Prefect is away, or takes more than 2 s, the last version that this process has heard, with \`${REACHABLE_HEADER}: false\`. An error only if it has never heard one.`,
      tag,
      input: z.object({}),
      reply: z.string(),
      replyHeaders: {
        [REACHABLE_HEADER]: '`false`: Prefect does not answer, this is the last known version. Else absent',
      },
      example: { reply: '3.8.8' },
      failure: 'failed to fetch the prefect version',
    },
    async (_input, { prefect, setHeader }) => {
      const { version, isCurrent } = await prefectVersion.read(prefect);
      if (!isCurrent) setHeader(REACHABLE_HEADER, 'false');
      return version;
    },
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
