import { create, dropScheduledRuns, patch, update, upsert } from './deployment-writes.js';
import { DEPLOYMENT_SORTS, deploymentView, findDeployments, markReady } from './deployment-model.js';
import { createRun } from './deployment-runs.js';
import { related, relatedOnly } from './filters.js';
import { flowRunView } from './flow-run-model.js';
import { type Route, noContent, notFound, route } from './http.js';
import { limit, limitOf, offset, page, paged } from './paging.js';
import { scheduleUpdate } from './schedule-fields.js';
import { scheduleView, updateSchedule } from './schedules.js';
import { type Deployment, type Schedule, type State, find } from './state.js';
import { nowMillis } from './time.js';
import { defaulted, list, oneOf, optional, params, time, uuid } from './validate.js';

const sort = defaulted(oneOf(...DEPLOYMENT_SORTS), () => 'NAME_ASC' as const);
const filter = params({ limit, offset, ...related, sort });
const paginate = params({ limit, page, ...related, sort });
const scheduled = params({ deployment_ids: list(uuid), scheduled_before: optional(time), limit });

export function deploymentRoutes(state: State): Route[] {
  const read = (id: string | undefined, detail = 'Deployment not found'): Deployment => {
    const deployment = state.deployments.get(id ?? '');
    if (deployment === undefined) throw notFound(detail);
    return deployment;
  };
  const readSchedule = (deployment: Deployment, id: string | undefined): Schedule => {
    const schedule = deployment.schedules.find((item) => item.id === id);
    if (schedule === undefined) throw notFound('Schedule not found.');
    return schedule;
  };
  const pause = (id: string | undefined, paused: boolean) => {
    const deployment = read(id);
    deployment.paused = paused;
    deployment.updated = nowMillis();
    return null;
  };
  return [
    route('post', '/deployments/', async (call) => upsert(state, await call.read(create))),
    route('post', '/deployments/filter', async (call) => {
      const wanted = await call.read(filter);
      const most = limitOf(state, wanted.limit);
      const found = findDeployments(state, wanted, wanted.sort).slice(wanted.offset, wanted.offset + most);
      return found.map((item) => deploymentView(state, item));
    }),
    route('post', '/deployments/paginate', async (call) => {
      const wanted = await call.read(paginate);
      const found = findDeployments(state, wanted, wanted.sort);
      return paged(state, wanted, found, (items) => items.map((item) => deploymentView(state, item)));
    }),
    route(
      'post',
      '/deployments/count',
      async (call) => findDeployments(state, await call.read(relatedOnly)).length,
    ),
    route('post', '/deployments/get_scheduled_flow_runs', async (call) => {
      const wanted = await call.read(scheduled);
      const most = limitOf(state, wanted.limit);
      const runs = [...state.flowRuns.values()]
        .filter((run) => wanted.deployment_ids.includes(run.deploymentId ?? ''))
        .filter((run) => run.state?.type === 'SCHEDULED' && state.deployments.has(run.deploymentId ?? ''))
        .filter((run) => (run.nextScheduledStart ?? 0) <= (wanted.scheduled_before ?? Infinity))
        .sort((a, b) => (a.nextScheduledStart ?? 0) - (b.nextScheduledStart ?? 0));
      markReady([...state.deployments.values()].filter((item) => wanted.deployment_ids.includes(item.id)));
      return runs.slice(0, most).map((run) => flowRunView(state, run));
    }),
    route('get', '/deployments/name/:flow/:deployment', ({ params: { flow, deployment } }) => {
      const owner = find(state.flows, (item) => item.name === flow);
      const found = find(state.deployments, (item) => item.name === deployment && item.flowId === owner?.id);
      return deploymentView(state, read(found?.id));
    }),
    route('get', '/deployments/:id', ({ params: { id } }) => deploymentView(state, read(id))),
    route('patch', '/deployments/:id', async (call) => {
      const wanted = await call.read(update);
      patch(state, read(call.params['id'], 'Deployment not found.'), wanted, await call.raw());
      return noContent();
    }),
    route('delete', '/deployments/:id', ({ params: { id } }) => {
      const deployment = read(id);
      dropScheduledRuns(state, deployment);
      state.deployments.delete(deployment.id);
      return noContent();
    }),
    route('get', '/deployments/:id/schedules', ({ params: { id } }) => {
      const deployment = read(id, 'Deployment not found.');
      return deployment.schedules.map((item) => scheduleView(deployment, item));
    }),
    route('patch', '/deployments/:id/schedules/:scheduleId', async (call) => {
      const wanted = await call.read(scheduleUpdate);
      const deployment = read(call.params['id'], 'Deployment not found.');
      updateSchedule(deployment, readSchedule(deployment, call.params['scheduleId']), wanted);
      return noContent();
    }),
    route('delete', '/deployments/:id/schedules/:scheduleId', ({ params: { id, scheduleId } }) => {
      const deployment = read(id, 'Deployment not found.');
      const schedule = readSchedule(deployment, scheduleId);
      deployment.schedules = deployment.schedules.filter((item) => item !== schedule);
      return noContent();
    }),
    route('post', '/deployments/:id/pause_deployment', ({ params: { id } }) => pause(id, true)),
    route('post', '/deployments/:id/resume_deployment', ({ params: { id } }) => pause(id, false)),
    route('post', '/deployments/:id/create_flow_run', (call) => createRun(state, call, read)),
  ];
}
