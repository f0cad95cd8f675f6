import { shortView, taskRunView } from './task-run-model.js';
import {
  deploymentFilter,
  flowFilter,
  flowRunFilter,
  matchDeployment,
  matchFlow,
  matchFlowRun,
  matchTaskRun,
  taskRunFilter,
} from './filters.js';
import { setState } from './flow-runs.js';
import { compare } from './flows.js';
import { Reply, type Route, created, integrity, notFound, objectNotFound, route } from './http.js';
import { type Obj } from './json.js';
import { enterTaskRunState, setTaskRunState } from './orchestrate.js';
import { limit, limitOf, offset, page, paged } from './paging.js';
import { makeState, plainState, stateCreate } from './run-states.js';
import { slug } from './slug.js';
import { type State, type TaskRun, find, row } from './state.js';
import {
  anything,
  defaulted,
  dict,
  field,
  labels,
  list,
  model,
  oneOf,
  optional,
  params,
  text,
  uuid,
} from './validate.js';

const inputs = field((value, loc, problems): Record<string, Obj[]> => {
  const given = dict.parse(value, loc, problems);
  const entries = Object.entries(given).map(([key, items]): [string, Obj[]] => [
    key,
    list(dict).parse(items, [...loc, key], problems),
  ]);
  return Object.fromEntries(entries);
});

const create = model({
  id: optional(uuid),
  state: optional(stateCreate),
  name: defaulted(text, slug),
  flow_run_id: optional(uuid),
  task_key: text,
  dynamic_key: text,
  cache_key: optional(text),
  cache_expiration: optional(anything),
  task_version: optional(text),
  empirical_policy: optional(anything),
  tags: defaulted(list(text), () => []),
  labels: optional(labels),
  task_inputs: defaulted(inputs, () => ({})),
});

const SORTS = [
  'ID_DESC',
  'EXPECTED_START_TIME_ASC',
  'EXPECTED_START_TIME_DESC',
  'NAME_ASC',
  'NAME_DESC',
  'NEXT_SCHEDULED_START_TIME_ASC',
  'END_TIME_DESC',
] as const;
const related = {
  flows: flowFilter,
  flow_runs: flowRunFilter,
  task_runs: taskRunFilter,
  deployments: deploymentFilter,
};
const relatedOnly = params(related);
type Related = ReturnType<typeof relatedOnly.parse>;
const sort = defaulted(oneOf(...SORTS), () => 'ID_DESC' as const);
const filter = params({ limit, sort, offset, ...related });
const paginate = params({ limit, sort, page, ...related });

export function taskRunRoutes(state: State): Route[] {
  return [
    route('post', '/task_runs/', async (call) => addTaskRun(state, await call.read(create))),
    route('post', '/task_runs/filter', async (call) => {
      const wanted = await call.read(filter);
      const most = limitOf(state, wanted.limit);
      const found = findTaskRuns(state, wanted, wanted.sort);
      return found.slice(wanted.offset, wanted.offset + most).map(taskRunView);
    }),
    route(
      'post',
      '/task_runs/count',
      async (call) => findTaskRuns(state, await call.read(relatedOnly)).length,
    ),
    route('post', '/task_runs/paginate', async (call) => {
      const wanted = await call.read(paginate);
      return paged(state, wanted, findTaskRuns(state, wanted, wanted.sort), (runs) => runs.map(shortView));
    }),
    route('get', '/task_runs/:id', ({ params: { id = '' } }) => {
      const run = state.taskRuns.get(id);
      if (run === undefined) throw notFound('Task not found');
      return taskRunView(run);
    }),
    route('post', '/task_runs/:id/set_state', async (call) => {
      const wanted = await call.read(setState);
      const { id = '' } = call.params;
      const run = state.taskRuns.get(id);
      if (run === undefined) throw objectNotFound(`Task run with id ${id} not found`);
      const { body, changed } = setTaskRunState(state, run, makeState(wanted.state), wanted.force);
      return new Reply(changed ? 201 : 200, body);
    }),
  ];
}

function addTaskRun(state: State, wanted: ReturnType<typeof create.parse>): Reply {
  const flowRun = wanted.flow_run_id === null ? undefined : state.flowRuns.get(wanted.flow_run_id);
  if (wanted.flow_run_id !== null && flowRun === undefined) throw integrity();
  const same = (run: TaskRun) =>
    run.flowRunId === wanted.flow_run_id &&
    run.taskKey === wanted.task_key &&
    run.dynamicKey === wanted.dynamic_key;
  const existing = flowRun === undefined ? undefined : find(state.taskRuns, same);
  if (existing !== undefined) return new Reply(200, taskRunView(existing));
  const ownLabels =
    flowRun === undefined ? {} : { 'prefect.flow.id': flowRun.flowId, 'prefect.flow-run.id': flowRun.id };
  const base = row();
  const run: TaskRun = {
    ...base,
    id: wanted.id ?? base.id,
    name: wanted.name,
    tags: [...new Set(wanted.tags)],
    labels: { ...ownLabels, ...wanted.labels },
    state: null,
    history: [],
    runCount: 0,
    expectedStart: null,
    nextScheduledStart: null,
    start: null,
    end: null,
    totalRunTime: 0,
    flowRunId: wanted.flow_run_id,
    taskKey: wanted.task_key,
    dynamicKey: wanted.dynamic_key,
    taskVersion: wanted.task_version,
    inputs: wanted.task_inputs,
    flowRunRunCount: 0,
  };
  state.taskRuns.set(run.id, run);
  enterTaskRunState(state, run, wanted.state === null ? plainState('PENDING') : makeState(wanted.state));
  return created(taskRunView(run));
}

export function findTaskRuns(
  state: State,
  wanted: Related,
  order: (typeof SORTS)[number] = 'ID_DESC',
): TaskRun[] {
  return [...state.taskRuns.values()].filter((run) => matches(state, wanted, run)).sort(ORDER[order]);
}

function matches(state: State, wanted: Related, run: TaskRun): boolean {
  if (!matchTaskRun(state, wanted.task_runs, run)) return false;
  if (wanted.flow_runs === null && wanted.flows === null && wanted.deployments === null) return true;
  const flowRun = state.flowRuns.get(run.flowRunId ?? '');
  if (flowRun === undefined) return false;
  return (
    matchFlowRun(state, wanted.flow_runs, flowRun) &&
    matchFlow(wanted.flows, state.flows.get(flowRun.flowId)) &&
    matchDeployment(state, wanted.deployments, state.deployments.get(flowRun.deploymentId ?? ''))
  );
}

type Order = (a: TaskRun, b: TaskRun) => number;
const up = (a: number | null, b: number | null) => (a ?? -1) - (b ?? -1);
const ORDER: Record<(typeof SORTS)[number], Order> = {
  ID_DESC: (a, b) => compare(b.id, a.id),
  EXPECTED_START_TIME_ASC: (a, b) => up(a.expectedStart, b.expectedStart),
  EXPECTED_START_TIME_DESC: (a, b) => up(b.expectedStart, a.expectedStart),
  NAME_ASC: (a, b) => compare(a.name, b.name),
  NAME_DESC: (a, b) => compare(b.name, a.name),
  NEXT_SCHEDULED_START_TIME_ASC: (a, b) => up(a.nextScheduledStart, b.nextScheduledStart),
  END_TIME_DESC: (a, b) => up(b.end, a.end),
};
