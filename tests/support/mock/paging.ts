import { Refusal, serverError } from './http.js';
import { type State } from './state.js';
import { defaulted, int, optional } from './validate.js';

export const offset = defaulted(int(0), () => 0);
export const page = defaulted(int(1), () => 1);
/** The limit is checked by a dependency of its own, with another error shape than the rest. */
export const limit = optional(int());

export function limitOf(state: State, given: number | null): number {
  const value = given ?? state.pageLimit;
  if (value < 0) throw new Refusal(422, { detail: 'Invalid limit: must be greater than or equal to 0.' });
  if (value > state.pageLimit) {
    const detail = `Invalid limit: must be less than or equal to ${state.pageLimit}.`;
    throw new Refusal(422, { detail });
  }
  return value;
}

export function paged<T>(
  state: State,
  wanted: { limit: number | null; page: number },
  found: T[],
  view: (items: T[]) => unknown[],
): unknown {
  const most = limitOf(state, wanted.limit);
  // A division by zero there, mended since.
  if (most === 0 && state.old) throw serverError();
  const from = (wanted.page - 1) * most;
  return {
    results: view(found.slice(from, from + most)),
    count: found.length,
    limit: most,
    pages: most === 0 ? 0 : Math.ceil(found.length / most),
    page: wanted.page,
  };
}
