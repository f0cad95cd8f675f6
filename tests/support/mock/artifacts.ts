import { type Route, created, route } from './http.js';
import { type Obj } from './json.js';
import { join, matchWord, operator, words } from './match.js';
import { limit, limitOf, offset } from './paging.js';
import { type Row, type State, row } from './state.js';
import { formatTime } from './time.js';
import { anything, defaulted, list, model, oneOf, optional, params, text, uuid } from './validate.js';

interface Artifact extends Row {
  key: string | null;
  type: string | null;
  description: string | null;
  data: unknown;
  flowRunId: string | null;
  taskRunId: string | null;
}

const create = model({
  key: optional(text),
  type: optional(text),
  description: optional(text),
  data: optional(anything),
  flow_run_id: optional(uuid),
  task_run_id: optional(uuid),
});
const filter = params({
  artifacts: optional(
    model({
      operator,
      key: words(text),
      type: words(text),
      flow_run_id: optional(model({ any_: optional(list(uuid)) })),
    }),
  ),
  sort: defaulted(oneOf('CREATED_DESC', 'ID_DESC'), () => 'ID_DESC' as const),
  limit,
  offset,
});

/** `/artifacts`: what flows leave behind for those who ask. */
export function artifactRoutes(state: State): Route[] {
  const all: Artifact[] = [];
  return [
    route('post', '/artifacts/', async (call) => {
      const { flow_run_id: flowRunId, task_run_id: taskRunId, ...rest } = await call.read(create);
      const made = { ...row(), ...rest, flowRunId, taskRunId };
      all.push(made);
      return created(view(made));
    }),
    route('post', '/artifacts/filter', async (call) => {
      const wanted = await call.read(filter);
      const most = limitOf(state, wanted.limit);
      const { operator: op, key = null, type = null, flow_run_id = null } = wanted.artifacts ?? {};
      const found = all.filter((one) =>
        join(
          op ?? 'and_',
          matchWord(key, one.key),
          matchWord(type, one.type),
          matchWord(flow_run_id, one.flowRunId),
        ),
      );
      if (wanted.sort === 'CREATED_DESC') found.sort((a, b) => b.created - a.created);
      return found.slice(wanted.offset, wanted.offset + most).map(view);
    }),
  ];
}

function view(one: Artifact): Obj {
  return {
    id: one.id,
    created: formatTime(one.created),
    updated: formatTime(one.updated),
    key: one.key,
    type: one.type,
    description: one.description,
    data: one.data,
    metadata_: null,
    flow_run_id: one.flowRunId,
    task_run_id: one.taskRunId,
  };
}
