import { z } from '@hono/zod-openapi';
import { AppError } from '../errors.js';
import { failureOf } from '../http/failure.js';
import type { Call } from '../http/router.js';
import * as requests from '../schemas/sync-runs.js';
import type { RouteContext } from './context.js';

const tag = 'Synchronous runs';
const DBT = 'dbt Core Operation';
const SHELL = 'Shell Operation';
const RUN_HEADER = 'x-flow-run-id';
const WARNING_HEADER = 'x-warning';
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
  [WARNING_HEADER]: 'Nobody seems to be there to run it',
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
      waits: true,
      input: z.object({ header: requests.syncRunHeaders, body: requests.dbtRun }),
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
      errors: [400, 404],
    },
    ({ header, body }, call) => {
      const env = { 'dbt-profile-secret-block': body.cli_profile_block, ...body.env };
      return answer(call, header, { ...body, type: DBT, env }, `failed to run dbt core flow ${body.slug}`);
    },
  );

  router.add(
    {
      method: 'post',
      path: '/proxy/flows/shell/run/',
      operationId: 'runShell',
      summary: 'Runs shell commands and answers with the lines of their output',
      tag,
      waits: true,
      input: z.object({ header: requests.syncRunHeaders, body: requests.shellRun }),
      reply,
      replyHeaders,
      accepted,
      example: {
        body: { ...common, type: SHELL, slug: 'hello', commands: ['echo hello'] },
        reply: { status: 'success', result: ['hello'] },
      },
      failure: 'failed to run shell operation flow',
      errors: [400, 404],
    },
    ({ header, body }, call) =>
      answer(call, header, { ...body, type: SHELL }, 'failed to run shell operation flow'),
  );

  async function answer(
    call: Call,
    header: z.output<typeof requests.syncRunHeaders>,
    task: Record<string, unknown>,
    failure: string,
  ): Promise<unknown> {
    const patience = { gone: call.hangUp(), waitSeconds: header.prefer };
    const about: Record<string, string> = {};
    try {
      const { id, warning } = await syncRuns.start(call.prefect, task, {
        resources: header['x-cleanup-resources'],
        notify: header['x-notify'],
        idempotencyKey: header['idempotency-key'],
      });
      about[RUN_HEADER] = id;
      if (warning !== undefined) {
        about[WARNING_HEADER] = warning.replaceAll(/[^\x20-\x7e]/gu, '?');
        logger.warn('synchronous run without a worker', { flow_run: id, warning });
      }
      const ended = await syncRuns.finish(id, failure, patience);
      if (!ended) about['location'] = `/proxy/v1/flow_runs/${id}/wait`;
      for (const [name, value] of Object.entries(about)) call.setHeader(name, value);
      if (ended) return { status: 'success', result: ended.result };
      call.accepted();
      return { status: 'running', flow_run_id: id };
    } catch (error) {
      throw withHeaders(failureOf(error, failure, {}), about);
    }
  }
}

/** The error of a request whose run is there: whoever gets it must be able to find the run. */
function withHeaders(error: unknown, about: Record<string, string>): AppError {
  const known =
    error instanceof AppError ? error : new AppError('internal', 'Internal Server Error', { cause: error });
  const { code, detail, options } = known;
  return new AppError(code, detail, { ...options, headers: { ...options.headers, ...about } });
}
