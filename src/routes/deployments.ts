import { z } from '@hono/zod-openapi';
import { AppError } from '../errors.js';
import * as deployments from '../prefect/deployments.js';
import * as replies from '../schemas/replies.js';
import * as requests from '../schemas/requests.js';
import { newRunHeaders } from '../schemas/resources.js';
import * as service from '../services/deployments.js';
import { startRun } from '../services/new-runs.js';
import { listScheduled } from '../services/runs.js';
import { EXAMPLE_ID, type RouteContext } from './context.js';

const tag = 'Deployments';
const params = {
  config: {
    org_slug: 'acme',
    tasks: [
      {
        type: 'Shell Operation',
        slug: 'hello',
        commands: ['echo hello'],
        working_dir: '/tmp',
        env: {},
        seq: 1,
      },
    ],
  },
};
const example = {
  name: 'acme-nightly',
  deploymentId: EXAMPLE_ID,
  tags: ['acme'],
  cron: '0 3 * * *',
  isScheduleActive: true,
  parameters: params,
  entrypoint: 'pipeline.py:deployment_schedule_flow_v5',
};
const createdRun = { flow_run_id: EXAMPLE_ID, name: 'amber-otter' };
const CREATE_RUN = 'failed to create flow_run for deployment';
const SET_SCHEDULE = 'failed to set schedule';

export function addDeploymentRoutes({ router, limits, deploymentDefaults }: RouteContext): void {
  router.add(
    {
      method: 'post',
      path: '/proxy/v1/deployments/',
      operationId: 'createDeployment',
      summary: 'Creates a deployment of the pipeline flow',
      tag,
      input: z.object({ body: requests.deploymentCreate }),
      reply: z.object({
        deployment: z.object({ id: z.string(), name: z.string(), params: z.record(z.string(), z.unknown()) }),
      }),
      example: {
        body: {
          flow_name: 'pipeline',
          deployment_name: 'acme-nightly',
          org_slug: 'acme',
          deployment_params: params,
          cron: '0 3 * * *',
        },
        reply: { deployment: { id: EXAMPLE_ID, name: 'acme-nightly', params } },
      },
      failure: 'failed to create deployment',
      errors: [400, 404, 409],
    },
    async ({ body }, { prefect }) => {
      const id = await service.create(prefect, limits, deploymentDefaults, body);
      return { deployment: { id, name: body.deployment_name, params: body.deployment_params } };
    },
  );

  router.add(
    {
      method: 'put',
      path: '/proxy/v1/deployments/{deployment_id}',
      operationId: 'updateDeployment',
      summary: "Replaces a deployment's parameters and schedule",
      tag,
      input: z.object({ path: requests.deploymentPath, body: requests.deploymentUpdate }),
      reply: replies.success,
      example: { body: { deployment_params: params, cron: '30 2 * * 1-5' }, reply: { success: 1 } },
      failure: 'failed to update the deployment',
      errors: [400, 404, 409],
    },
    async ({ path, body }, { prefect }) => {
      await service.update(prefect, path.deployment_id, body);
      return { success: 1 };
    },
  );

  router.add(
    {
      method: 'patch',
      path: '/proxy/v1/deployments/{deployment_id}/entrypoint',
      operationId: 'setEntrypoint',
      summary: "Changes a deployment's entrypoint",
      tag,
      input: z.object({ path: requests.deploymentPath, body: requests.entrypoint }),
      reply: replies.success,
      example: { body: { entrypoint: 'pipeline.py:deployment_schedule_flow_v5' }, reply: { success: 1 } },
      failure: 'failed to update deployment entrypoint',
      errors: [400, 404],
    },
    async ({ path, body: { entrypoint } }, { prefect }) => {
      if (typeof entrypoint !== 'string' || entrypoint === '')
        throw new AppError('bad_request', 'entrypoint (string) is required');
      await deployments.update(prefect, path.deployment_id, { entrypoint });
      return { success: 1 };
    },
  );

  router.add(
    {
      method: 'get',
      path: '/proxy/v1/deployments/get_scheduled_flow_runs',
      operationId: 'listScheduledRuns',
      summary: 'The planned runs of a deployment, soonest first',
      tag,
      priority: 'low',
      input: z.object({ query: z.object({ deployment_id: requests.deploymentQuery }) }),
      reply: z.object({ flow_runs: z.array(replies.flowRun) }),
      example: { reply: { flow_runs: [] } },
      failure: 'failed to fetch scheduled flow-runs for deployment',
    },
    async ({ query }, { prefect, cut }) => {
      const found = await listScheduled(prefect, limits, query.deployment_id);
      cut(found);
      return { flow_runs: found.rows };
    },
  );

  router.add(
    {
      method: 'post',
      path: '/proxy/deployments/filter',
      operationId: 'listDeployments',
      summary: "An organisation's deployments: those asked for, or all",
      tag,
      priority: 'low',
      input: z.object({ body: requests.deploymentFilter }),
      reply: z.object({ deployments: z.array(replies.deployment) }),
      example: { body: { org_slug: 'acme', deployment_ids: null }, reply: { deployments: [example] } },
      failure: 'failed to filter deployments',
      errors: [400],
    },
    async ({ body }, { prefect, cut }) => {
      const found = await service.list(prefect, limits, body.org_slug, body.deployment_ids);
      cut(found);
      return { deployments: found.rows };
    },
  );

  router.add(
    {
      method: 'get',
      path: '/proxy/deployments/{deployment_id}',
      operationId: 'getDeployment',
      summary: 'A deployment',
      tag,
      input: z.object({ path: requests.deploymentPath }),
      reply: replies.deployment,
      example: { reply: example },
      failure: (path) => `failed to fetch deployment ${path['deployment_id'] ?? ''}`,
      errors: [404],
    },
    async ({ path }, { prefect }) => service.asReply(await deployments.read(prefect, path.deployment_id)),
  );

  router.add(
    {
      method: 'delete',
      path: '/proxy/deployments/{deployment_id}',
      operationId: 'deleteDeployment',
      summary: 'Deletes a deployment',
      tag,
      input: z.object({ path: requests.deploymentPath }),
      reply: replies.nothing,
      example: { reply: null },
      failure: { ownText: 'failed to delete the deployment' },
      errors: [400, 404],
    },
    async ({ path }, { prefect }) => {
      await deployments.remove(prefect, path.deployment_id);
      return null;
    },
  );

  router.add(
    {
      method: 'post',
      path: '/proxy/deployments/{deployment_id}/set_schedule/{status}',
      operationId: 'setSchedule',
      summary: "Switches a deployment's schedule on or off",
      tag,
      input: z.object({
        path: z.object({
          deployment_id: requests.deploymentText,
          status: requests.str.openapi({
            description: 'On or off',
            enum: ['active', 'inactive'],
            example: 'inactive',
          }),
        }),
      }),
      reply: replies.success,
      example: { reply: { success: 1 } },
      failure: SET_SCHEDULE,
      errors: [404],
    },
    async ({ path: { deployment_id: id, status } }, { prefect }) => {
      // The status is judged before the id, as hosts know it.
      if (status !== 'active' && status !== 'inactive')
        throw new AppError('validation_failed', 'incorrect status value');
      const known = requests.idInPath.safeParse(id);
      if (!known.success) throw new AppError('not_found', SET_SCHEDULE);
      await service.setActive(prefect, known.data, status === 'active');
      return { success: 1 };
    },
  );

  router.add(
    {
      method: 'post',
      path: '/proxy/deployments/{deployment_id}/flow_run',
      operationId: 'runDeployment',
      summary: 'Starts a run now; given parameters go over those of the deployment',
      tag,
      input: z.object({
        path: requests.deploymentPath,
        header: newRunHeaders,
        body: requests.runParameters,
      }),
      reply: replies.createdRun,
      example: { body: {}, reply: createdRun },
      failure: CREATE_RUN,
      errors: [400, 404, 409],
    },
    ({ path, header, body }, { prefect }) =>
      startRun(prefect, path.deployment_id, { parameters: body ?? {}, ...declared(header) }),
  );

  router.add(
    {
      method: 'post',
      path: '/proxy/deployments/{deployment_id}/flow_run/schedule',
      operationId: 'scheduleRun',
      summary: 'Plans a run for a time, or for now',
      tag,
      input: z.object({
        path: requests.deploymentPath,
        header: newRunHeaders,
        body: requests.scheduledRun,
      }),
      reply: replies.createdRun,
      example: { body: { runParams: {}, scheduledTime: '2030-01-31T03:00:00Z' }, reply: createdRun },
      failure: CREATE_RUN,
      errors: [400, 404, 409],
    },
    ({ path, header, body }, { prefect }) =>
      startRun(prefect, path.deployment_id, {
        parameters: body.runParams,
        scheduledTime: body.scheduledTime ?? undefined,
        ...declared(header),
      }),
  );
}

function declared(header: z.output<typeof newRunHeaders>) {
  return {
    resources: header['x-cleanup-resources'],
    notify: header['x-notify'],
    idempotencyKey: header['idempotency-key'],
  };
}
