import { Refusal, Reply, type Route, created, notFound, route, serverError } from './http.js';
import { type Obj } from './json.js';
import {
  acquire,
  deleteLimit,
  holders,
  lease,
  limitsByName,
  namedLimits,
  newLimit,
  releaseTags,
} from './limits.js';
import { limit, limitOf, offset } from './paging.js';
import { type Limit, type State, find } from './state.js';
import { formatTime, nowMillis } from './time.js';
import { int, list, model, params, text, uuid } from './validate.js';

const create = model({ tag: text, concurrency_limit: int() });
const filter = params({ limit, offset });
const slot = params({ names: list(text), task_run_id: uuid });

/** `/concurrency_limits`: the limits of tags. */
export function tagLimitRoutes(state: State): Route[] {
  const byTag = (tag = '') => find(state.limits, ({ name }) => name === `tag:${tag}`);
  const read = (tag: string | undefined): Limit => {
    const found = byTag(tag);
    if (found === undefined) throw notFound('Concurrency limit not found');
    return found;
  };
  return [
    route('post', '/concurrency_limits/', async (call) => {
      const wanted = await call.read(create);
      const existing = byTag(wanted.tag);
      if (existing !== undefined) {
        existing.limit = wanted.concurrency_limit;
        existing.updated = nowMillis();
        return new Reply(200, view(state, existing));
      }
      // The name is checked only when the row is made from it.
      if (/[/%&><]/.test(wanted.tag)) throw serverError();
      return created(
        view(state, newLimit(state, { name: `tag:${wanted.tag}`, limit: wanted.concurrency_limit })),
      );
    }),
    route('post', '/concurrency_limits/filter', async (call) => {
      const wanted = await call.read(filter);
      const most = limitOf(state, wanted.limit);
      const tags = limitsByName(state)
        .slice(0, wanted.offset + most)
        .filter(({ name }) => name.startsWith('tag:'));
      return tags.slice(wanted.offset).map((one) => view(state, one));
    }),
    route('post', '/concurrency_limits/increment', async (call) => {
      const wanted = await call.read(slot);
      return takeSlots(state, wanted.names, wanted.task_run_id);
    }),
    route('post', '/concurrency_limits/decrement', async (call) => {
      const wanted = await call.read(slot);
      return releaseTags(state, wanted.names, wanted.task_run_id).map((one) => brief(one, one.name));
    }),
    route('get', '/concurrency_limits/tag/:tag', ({ params: { tag } }) => view(state, read(tag))),
    route('delete', '/concurrency_limits/tag/:tag', ({ params: { tag } }) => {
      deleteLimit(state, read(tag));
      return new Reply(200, null);
    }),
  ];
}

function takeSlots(state: State, tags: string[], taskRunId: string): Obj[] {
  const limits = tags.flatMap((tag) => namedLimits(state, [`tag:${tag}`]));
  const blocked = limits.find((one) => one.limit === 0);
  if (blocked !== undefined) {
    const detail = `The concurrency limit on tag "${tagOf(blocked)}" is 0 and will deadlock if the task tries to run again.`;
    throw new Refusal(423, { detail });
  }
  const active = limits.filter((one) => one.active);
  const [first] = active;
  if (first === undefined) return [];
  if (!acquire(active, 1)) {
    const detail = `Concurrency limit for the ${tagOf(first)} tag has been reached`;
    throw new Refusal(423, { detail }, { 'retry-after': '30.0' });
  }
  lease(state, active, 1, { type: 'task_run', id: taskRunId });
  return active.map((one) => brief(one, tagOf(one)));
}

const tagOf = (one: Limit): string => one.name.slice('tag:'.length);
const brief = (one: Limit, name: string): Obj => ({ id: one.id, name, limit: one.limit });

function view(state: State, one: Limit): Obj {
  return {
    id: one.id,
    created: formatTime(one.created),
    updated: formatTime(one.updated),
    tag: tagOf(one),
    concurrency_limit: one.limit,
    active_slots: holders(state, one),
  };
}
