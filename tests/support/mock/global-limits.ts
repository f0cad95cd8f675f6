import { Refusal, type Route, created, integrity, invalid, noContent, notFound, route } from './http.js';
import { type Obj, float } from './json.js';
import {
  acquire,
  deleteLimit,
  endLease,
  lease,
  limitsByName,
  namedLimits,
  newLimit,
  release,
} from './limits.js';
import { limit, limitOf, offset } from './paging.js';
import { type Limit, type State, find } from './state.js';
import { formatTime } from './time.js';
import {
  type Problem,
  anything,
  bool,
  defaulted,
  list,
  literal,
  model,
  name,
  number,
  optional,
  params,
  text,
  uuid,
  whole,
} from './validate.js';

const count = whole({ ge: 0 });
const create = model({
  active: defaulted(bool, () => true),
  name,
  limit: count,
  active_slots: defaulted(count, () => 0),
  denied_slots: defaulted(count, () => 0),
  slot_decay_per_second: defaulted(number({ ge: 0 }), () => 0),
});
const duration = defaulted(number({ ge: 60, le: 86_400 }), () => 300);
const slots = {
  slots: whole({ gt: 0 }),
  names: list(text),
  mode: defaulted(literal('concurrency', 'rate_limit'), () => 'concurrency' as const),
};
const take = params({ ...slots, create_if_missing: optional(bool) });
const takeLease = params({
  ...slots,
  lease_duration: duration,
  holder: optional(model({ type: literal('flow_run', 'task_run', 'deployment'), id: uuid })),
});
const give = params({
  slots: slots.slots,
  names: slots.names,
  occupancy_seconds: optional(number({ gt: 0 })),
  create_if_missing: defaulted(anything, () => null),
});

/** `/v2/concurrency_limits`: global limits. The decay of slots over time is not imitated. */
export function globalLimitRoutes(state: State): Route[] {
  const read = (idOrName = ''): Limit => {
    const found = find(state.limits, (one) => one.id === idOrName.toLowerCase() || one.name === idOrName);
    if (found === undefined) throw notFound('Concurrency Limit not found');
    return found;
  };
  return [
    route('post', '/v2/concurrency_limits/', async (call) => {
      const wanted = await call.read(create);
      if (namedLimits(state, [wanted.name]).length > 0) throw integrity();
      const { active_slots: activeSlots, denied_slots: deniedSlots, slot_decay_per_second: decay } = wanted;
      const { active, name: given, limit: most } = wanted;
      const made = newLimit(state, { active, name: given, limit: most, activeSlots, deniedSlots, decay });
      return created(wholeView(made));
    }),
    route('post', '/v2/concurrency_limits/filter', async (call) => {
      const wanted = await call.read(params({ limit, offset }));
      const most = limitOf(state, wanted.limit);
      return limitsByName(state)
        .slice(wanted.offset, wanted.offset + most)
        .map(view);
    }),
    route('post', '/v2/concurrency_limits/increment', async (call) =>
      takeSlots(state, await call.read(take)).map(brief),
    ),
    route('post', '/v2/concurrency_limits/decrement', async (call) => {
      const wanted = await call.read(give);
      const limits = namedLimits(state, wanted.names);
      release(limits, wanted.slots);
      return limits.map(brief);
    }),
    route('post', '/v2/concurrency_limits/increment-with-lease', async (call) => {
      const wanted = await call.read(takeLease);
      const limits = takeSlots(state, wanted);
      return { lease_id: lease(state, limits, wanted.slots, wanted.holder).id, limits: limits.map(brief) };
    }),
    route('post', '/v2/concurrency_limits/decrement-with-lease', async (call) => {
      const wanted = await call.read(params({ lease_id: uuid }));
      const held = state.leases.get(wanted.lease_id);
      if (held !== undefined) endLease(state, held);
      return noContent();
    }),
    route('post', '/v2/concurrency_limits/leases/:lease/renew', async (call) => {
      const problems: Problem[] = [];
      const id = uuid.parse(call.params['lease'], ['path', 'lease_id'], problems);
      if (problems.length > 0) throw invalid(problems, await call.raw());
      await call.read(params({ lease_duration: duration }));
      if (state.leases.has(id)) return noContent();
      throw new Refusal(410, { detail: 'Lease not found - it may have expired or been revoked' });
    }),
    route('get', '/v2/concurrency_limits/:idOrName', ({ params: { idOrName } }) => view(read(idOrName))),
    route('delete', '/v2/concurrency_limits/:idOrName', ({ params: { idOrName } }) => {
      deleteLimit(state, read(idOrName));
      return noContent();
    }),
  ];
}

function takeSlots(state: State, wanted: { names: string[]; slots: number; mode: string }): Limit[] {
  const limits = namedLimits(state, wanted.names);
  const active = limits.filter((one) => one.active);
  if (active.some((one) => one.limit < wanted.slots)) {
    throw new Refusal(422, { detail: 'Slots requested is greater than the limit' });
  }
  const lasting = active.filter((one) => one.decay === 0).map((one) => one.name);
  if (wanted.mode === 'rate_limit' && lasting.length > 0) {
    const detail = `Only concurrency limits with slot decay can be used for rate limiting. The following limits do not have a decay configured: '${lasting.join(',')}'`;
    throw new Refusal(422, { detail });
  }
  // The server draws the seconds from a distribution around the time that slots are held.
  if (!acquire(active, wanted.slots)) throw new Refusal(423, { detail: 'Locked' }, { 'retry-after': '2.0' });
  return limits;
}

const brief = (one: Limit): Obj => ({ id: one.id, name: one.name, limit: one.limit });

function view(one: Limit): Obj {
  return {
    id: one.id,
    created: formatTime(one.created),
    updated: formatTime(one.updated),
    active: one.active,
    name: one.name,
    limit: one.limit,
    active_slots: one.activeSlots,
    slot_decay_per_second: float(one.decay),
  };
}

/** As a creation answers. */
function wholeView(one: Limit): Obj {
  const { slot_decay_per_second, ...rest } = view(one);
  const avg_slot_occupancy_seconds = float(2);
  return { ...rest, denied_slots: one.deniedSlots, slot_decay_per_second, avg_slot_occupancy_seconds };
}
