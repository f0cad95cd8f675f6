import { deleteFlowRun } from './deletes.js';
import {
  deploymentFilter,
  flowFilter,
  flowRunFilter,
  matchDeployment,
  matchFlow,
  matchFlowRun,
} from './filters.js';
import { Reply, type Route, created, noContent, notFound, route } from './http.js';
import { type Obj } from './json.js';
import { limit, limitOf, offset } from './paging.js';
import { type Flow, type State, find, row } from './state.js';
import { formatTime } from './time.js';
import { defaulted, dict, list, model, name, oneOf, optional, params, text } from './validate.js';

const create = model({ name, tags: defaulted(list(text), () => []), labels: optional(dict) });
const filter = params({
  flows: flowFilter,
  flow_runs: flowRunFilter,
  deployments: deploymentFilter,
  limit,
  offset,
  sort: defaulted(oneOf('CREATED_DESC', 'UPDATED_DESC', 'NAME_ASC', 'NAME_DESC'), () => 'NAME_ASC' as const),
});

export function flowView(flow: Flow): Obj {
  return {
    id: flow.id,
    created: formatTime(flow.created),
    updated: formatTime(flow.updated),
    name: flow.name,
    tags: flow.tags,
    labels: flow.labels,
  };
}

export function flowRoutes(state: State): Route[] {
  const byName = (wanted: string) => find(state.flows, (flow) => flow.name === wanted);
  const orNotFound = (flow: Flow | undefined) => {
    if (flow === undefined) throw notFound('Flow not found');
    return flowView(flow);
  };
  return [
    route('post', '/flows/', async ({ read }) => {
      const wanted = await read(create);
      const existing = byName(wanted.name);
      if (existing !== undefined) return new Reply(200, flowView(existing));
      const flow: Flow = { ...row(), name: wanted.name, tags: wanted.tags, labels: wanted.labels ?? {} };
      state.flows.set(flow.id, flow);
      return created(flowView(flow));
    }),
    route('post', '/flows/filter', async ({ read }) => {
      const wanted = await read(filter);
      const most = limitOf(state, wanted.limit);
      const found = [...state.flows.values()]
        .filter((flow) => matchFlow(wanted.flows, flow) && relatedTo(flow))
        .sort(ORDER[wanted.sort]);
      return found.slice(wanted.offset, wanted.offset + most).map(flowView);

      function relatedTo(flow: Flow): boolean {
        const deployments = [...state.deployments.values()].filter((item) => item.flowId === flow.id);
        const runs = [...state.flowRuns.values()].filter((run) => run.flowId === flow.id);
        return (
          (wanted.deployments === null ||
            deployments.some((item) => matchDeployment(state, wanted.deployments, item))) &&
          (wanted.flow_runs === null || runs.some((run) => matchFlowRun(state, wanted.flow_runs, run)))
        );
      }
    }),
    route('get', '/flows/name/:name', ({ params }) => orNotFound(byName(params['name'] ?? ''))),
    route('delete', '/flows/:id', ({ params: { id = '' } }) => {
      if (!state.flows.delete(id)) throw notFound('Flow not found');
      for (const item of state.deployments.values())
        if (item.flowId === id) state.deployments.delete(item.id);
      for (const run of state.flowRuns.values()) if (run.flowId === id) deleteFlowRun(state, run);
      return noContent();
    }),
    route('get', '/flows/:id', ({ params }) => orNotFound(state.flows.get(params['id'] ?? ''))),
  ];
}

const ORDER: Record<string, (a: Flow, b: Flow) => number> = {
  CREATED_DESC: (a, b) => b.created - a.created,
  UPDATED_DESC: (a, b) => b.updated - a.updated,
  NAME_ASC: (a, b) => compare(a.name, b.name),
  NAME_DESC: (a, b) => compare(b.name, a.name),
};

/** By code point, like SQLite; `localeCompare` is not. */
export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
