import { Reply, type Route, route, serverError } from './http.js';
import { type Obj } from './json.js';
import { join, matchTime, matchWord, operator } from './match.js';
import { limit, limitOf, offset } from './paging.js';
import { type Log, type State } from './state.js';
import { formatTime, now, uuid7 } from './time.js';
import {
  anything,
  bool,
  defaulted,
  field,
  int,
  list,
  model,
  oneOf,
  optional,
  params,
  text,
  time,
  uuid,
} from './validate.js';

const log = model({
  name: text,
  level: int(),
  message: text,
  timestamp: time,
  flow_run_id: optional(uuid),
  task_run_id: optional(uuid),
});

const logs = field((input, loc, problems): ReturnType<typeof log.parse>[] => {
  if (Array.isArray(input)) return list(log).parse(input, loc, problems);
  const msg = 'Input should be an instance of Sequence';
  problems.push({ type: 'is_instance_of', loc, msg, input, ctx: { class: 'Sequence' } });
  return [];
});

const filter = params({
  limit,
  offset,
  logs: optional(
    model({
      operator,
      level: optional(model({ ge_: optional(int()), le_: optional(int()) })),
      timestamp: optional(model({ before_: optional(time), after_: optional(time) })),
      flow_run_id: optional(model({ any_: optional(list(uuid)) })),
      task_run_id: optional(model({ any_: optional(list(uuid)), is_null_: optional(bool) })),
      text: optional(anything),
    }),
  ),
  sort: defaulted(oneOf('TIMESTAMP_ASC', 'TIMESTAMP_DESC'), () => 'TIMESTAMP_ASC' as const),
});
type Filter = ReturnType<typeof filter.parse>['logs'];

export function logRoutes(state: State): Route[] {
  return [
    route('post', '/logs/', async (call) => {
      const rows = await call.read(logs);
      for (const { flow_run_id, task_run_id, ...rest } of rows) {
        const created = now();
        const base = { id: uuid7(), created, updated: created };
        state.logs.push({ ...base, ...rest, flowRunId: flow_run_id, taskRunId: task_run_id });
      }
      return new Reply(201, null);
    }),
    route('post', '/logs/filter', async (call) => {
      const wanted = await call.read(filter);
      const most = limitOf(state, wanted.limit);
      // The search of texts fails on SQLite.
      if (wanted.logs !== null && wanted.logs.text !== null) throw serverError();
      const direction = wanted.sort === 'TIMESTAMP_ASC' ? 1 : -1;
      const found = state.logs
        .filter((item) => matches(wanted.logs, item))
        .sort((a, b) => direction * (a.timestamp - b.timestamp));
      return found.slice(wanted.offset, wanted.offset + most).map(view);
    }),
  ];
}

function matches(wanted: Filter, item: Log): boolean {
  if (wanted === null) return true;
  const { level } = wanted;
  const levelFits =
    level === null
      ? undefined
      : (level.ge_ ?? item.level) <= item.level && item.level <= (level.le_ ?? item.level);
  return join(
    wanted.operator,
    levelFits,
    matchTime(wanted.timestamp, item.timestamp),
    matchWord(wanted.flow_run_id, item.flowRunId),
    matchWord(wanted.task_run_id, item.taskRunId),
  );
}

function view(item: Log): Obj {
  return {
    id: item.id,
    created: formatTime(item.created),
    updated: formatTime(item.updated),
    name: item.name,
    level: item.level,
    message: item.message,
    timestamp: formatTime(item.timestamp),
    flow_run_id: item.flowRunId,
    task_run_id: item.taskRunId,
  };
}
