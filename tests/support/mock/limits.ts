import { randomUUID } from 'node:crypto';
import { compare } from './flows.js';
import { type Lease, type Limit, type State, row } from './state.js';
import { nowMillis } from './time.js';

/** Concurrency limits: those of a tag are global limits named `tag:<tag>`, held by task runs through leases. */
export function newLimit(state: State, given: Pick<Limit, 'name' | 'limit'> & Partial<Limit>): Limit {
  const limit = { ...row(), active: true, activeSlots: 0, deniedSlots: 0, decay: 0, ...given };
  state.limits.set(limit.id, limit);
  return limit;
}

export function limitsByName(state: State): Limit[] {
  return [...state.limits.values()].sort((a, b) => compare(a.name, b.name));
}

export function namedLimits(state: State, names: string[]): Limit[] {
  return limitsByName(state).filter((limit) => names.includes(limit.name));
}

/** All of the limits or none. A limit named twice can't be had. @returns whether they were free */
export function acquire(limits: Limit[], slots: number): boolean {
  const free = new Set(limits).size === limits.length;
  if (!free || limits.some((limit) => limit.activeSlots + slots > limit.limit)) return false;
  for (const limit of limits) setSlots(limit, limit.activeSlots + slots);
  return true;
}

export function release(limits: Limit[], slots: number): void {
  for (const limit of limits) if (limit.active) setSlots(limit, Math.max(0, limit.activeSlots - slots));
}

function setSlots(limit: Limit, slots: number): void {
  limit.activeSlots = slots;
  limit.updated = nowMillis();
}

export function lease(state: State, limits: Limit[], slots: number, holder: Lease['holder']): Lease {
  const made = { id: randomUUID(), limitIds: limits.map(({ id }) => id), slots, holder };
  state.leases.set(made.id, made);
  return made;
}

export function endLease(state: State, ended: Lease): void {
  const limits = ended.limitIds.flatMap((id) => state.limits.get(id) ?? []);
  release(limits, ended.slots);
  state.leases.delete(ended.id);
}

/** The ids of the task runs that hold slots of a limit, one for each slot taken. */
export function holders(state: State, limit: Limit): string[] {
  return [...state.leases.values()].flatMap(({ limitIds, holder }) =>
    holder?.type === 'task_run' && limitIds.includes(limit.id) ? [holder.id] : [],
  );
}

/** A lease goes as a whole, its other tags with it. @returns the limits of the tags, held or not */
export function releaseTags(state: State, tags: string[], taskRunId: string): Limit[] {
  const limits =
    tags.length === 0
      ? []
      : namedLimits(
          state,
          tags.map((tag) => `tag:${tag}`),
        );
  const ids = limits.map(({ id }) => id);
  for (const one of state.leases.values()) {
    if (one.holder?.id === taskRunId && one.limitIds.some((id) => ids.includes(id))) endLease(state, one);
  }
  return limits;
}

export function deleteLimit(state: State, limit: Limit): void {
  state.limits.delete(limit.id);
}
