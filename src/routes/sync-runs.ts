import { z } from '@hono/zod-openapi';
import type { Call } from '../http/router.js';
import * as requests from '../schemas/sync-runs.js';
import type { RouteContext } from './context.js';

const tag = 'Synchronous runs';
const DBT = 'dbt Core Operation';
const SHELL = 'Shell Operation';
const RUN_HEADER = 'x-flow-run-id';
const common = {
  slug: 'dbt-run',
  working_dir: '/data/acme/dbtrepo',
  env: {},
  flow_name: 'f',
  flow_run_name: 'r',
};
const reply = z.object({ status: z.literal('success'), result: z.unknown() });
const accepted = {
  meaning: '`Prefer: wait=N` was not enough: `Location` says where to go on waiting',
  reply: z.object({ status: z.literal('running'), flow_run_id: z.string() }),
};
const replyHeaders = {
  [RUN_HEADER]: 'The flow run that does the work; also on errors',
  'x-warning': 'Nobody seems to be there to run it',
};

/** Adds the routes that answer when the work is done. The work is done by a worker of Prefect. */
export function addSyncRunRoutes({ router, syncRuns, notifications: { logger } }: RouteContext): void {
  router.add(
    {
      method: 'post',
      path: '/proxy/v1/flows/dbtcore/run/',
      operationId: 'runDbt',
      summary: 'Runs commands of dbt and answers with their result',
      tag,
      input: z.object({ header: requests.preferHeader, body: requests.dbtRun }),
      reply,
      replyHeaders,
      accepted,
      example: {
        body: {
          ...common,
          type: DBT,
          profiles_dir: '/data/acme/dbtrepo/profiles',
          project_dir: '/data/acme/dbtrepo',
          commands: ['dbt run'],
          cli_profile_block: 'acme-profile',
        },
        reply: { status: 'success', result: ['Completed successfully'] },
      },
      failure: 'failed to run dbt core flow',
      errors: [400],
    },
    ({ header, body }, call) => {
      const env = { 'dbt-profile-secret-block': body.cli_profile_block, ...body.env };
      return answer(
        call,
        { ...body, type: DBT, env },
        `failed to run dbt core flow ${body.slug}`,
        header.prefer,
      );
    },
  );

  router.add(
    {
      method: 'post',
      path: '/proxy/flows/shell/run/',
      operationId: 'runShell',
      summary: 'Runs shell commands and answers with the lines of their output',
      tag,
      input: z.object({ header: requests.preferHeader, body: requests.shellRun }),
      reply,
      replyHeaders,
      accepted,
      example: {
        body: { ...common, type: SHELL, slug: 'hello', commands: ['echo hello'] },
        reply: { status: 'success', result: ['hello'] },
      },
      failure: 'failed to run shell operation flow',
      errors: [400],
    },
    ({ header, body }, call) =>
      answer(call, { ...body, type: SHELL }, 'failed to run shell operation flow', header.prefer),
  );

  async function answer(
    call: Call,
    task: Record<string, unknown>,
    failure: string,
    waitSeconds: number | undefined,
  ): Promise<unknown> {
    const gone = call.hangUp();
    const { id, warning } = await syncRuns.start(call.prefect, task);
    call.setHeader(RUN_HEADER, id);
    if (warning !== undefined) {
      call.setHeader('x-warning', warning);
      logger.warn('synchronous run without a worker', { flow_run: id, warning });
    }
    const ended = await syncRuns.finish(id, failure, { gone, waitSeconds });
    if (ended) return { status: 'success', result: ended.result };
    call.setHeader('location', `/proxy/v1/flow_runs/${id}/wait`);
    call.accepted();
    return { status: 'running', flow_run_id: id };
  }
}
