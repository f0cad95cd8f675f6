import { type Obj, isObj, toJson } from './json.js';
import { type FlowRun, type Run, type RunState, STATE_TYPES, type StateType, type TaskRun } from './state.js';
import { type Micros, formatOptional, formatTime, now, nowMillis, uuid7 } from './time.js';
import { type Out, anything, bool, defaulted, model, oneOf, optional, text, time, uuid } from './validate.js';

const DETAILS = {
  flow_run_id: optional(uuid),
  task_run_id: optional(uuid),
  child_flow_run_id: optional(uuid),
  scheduled_time: optional(time),
  cache_key: optional(text),
  cache_expiration: optional(anything),
  deferred: defaulted(optional(bool), () => false),
  untrackable_result: defaulted(bool, () => false),
  pause_timeout: optional(anything),
  pause_reschedule: defaulted(optional(bool), () => false),
  pause_key: optional(text),
  run_input_keyset: optional(anything),
  refresh_cache: optional(bool),
  retriable: optional(bool),
  transition_id: optional(uuid),
  task_parameters_id: optional(uuid),
  traceparent: optional(text),
  deployment_concurrency_lease_id: optional(uuid),
};
const details = model(DETAILS);

export const stateType = oneOf(...STATE_TYPES);

export const stateCreate = model({
  type: stateType,
  name: optional(text),
  message: optional(text),
  data: optional(anything),
  // Unknown details are dropped, not refused.
  state_details: defaulted(
    { parse: (value, loc, problems) => details.parse(isObj(value) ? known(value) : value, loc, problems) },
    () => details.parse({}, [], []),
  ),
});
export type StateCreate = Out<typeof stateCreate>;

function known(value: Obj): Obj {
  return Object.fromEntries(Object.entries(value).filter(([key]) => key in DETAILS));
}

const NAMES: Partial<Record<StateType, string>> = { SCHEDULED: 'Scheduled' };

export function makeState(wanted: StateCreate): RunState {
  const timestamp = now();
  const scheduled = wanted.state_details.scheduled_time ?? (wanted.type === 'SCHEDULED' ? timestamp : null);
  return {
    id: uuid7(),
    type: wanted.type,
    name: wanted.name ?? NAMES[wanted.type] ?? wanted.type.charAt(0) + wanted.type.slice(1).toLowerCase(),
    timestamp,
    message: wanted.message,
    data: wanted.data,
    details: { ...wanted.state_details, scheduled_time: scheduled },
  };
}

export function plainState(type: StateType): RunState {
  return makeState(stateCreate.parse({ type }, [], []));
}

/** A run's state, as a parent task run gets it from its subflow. */
export function freshCopy(state: RunState): RunState {
  return { ...state, id: uuid7(), timestamp: now(), details: { ...state.details } };
}

export function isFinal(type: StateType): boolean {
  return ['COMPLETED', 'FAILED', 'CANCELLED', 'CRASHED'].includes(type);
}

/** The bookkeeping of the server's global policies, for flow and task runs alike. */
export function applyState(run: Run, state: RunState): void {
  const before = run.state;
  if (state.type === 'RUNNING') {
    run.start ??= state.timestamp;
    run.runCount += 1;
  }
  if (before !== null && isFinal(before.type) && !isFinal(state.type)) run.end = null;
  if (isFinal(state.type) && run.end === null) {
    run.start ??= state.timestamp;
    run.end = state.timestamp;
  }
  if (before?.type === 'RUNNING') run.totalRunTime += state.timestamp - before.timestamp;
  run.expectedStart ??= state.type === 'SCHEDULED' ? state.details.scheduled_time : state.timestamp;
  if (before?.type === 'SCHEDULED') run.nextScheduledStart = null;
  if (state.type === 'SCHEDULED') run.nextScheduledStart = state.details.scheduled_time;
  run.state = state;
  run.history.push(state);
  run.updated = nowMillis();
}

export function stateView(state: RunState | null): Obj | null {
  if (state === null) return null;
  const shown = Object.keys(DETAILS).map((key): [string, unknown] => [key, state.details[key] ?? null]);
  return {
    id: state.id,
    type: state.type,
    name: state.name,
    timestamp: formatTime(state.timestamp),
    message: state.message,
    // Text that marks an unpersisted result is not shown.
    data: toJson(state.data) === '{"type":"unpersisted"}' ? null : state.data,
    state_details: {
      ...Object.fromEntries(shown),
      scheduled_time: formatOptional(state.details.scheduled_time),
    },
  };
}

export function estimatedRunTime(run: Run): Micros {
  return run.state?.type === 'RUNNING' ? run.totalRunTime + (now() - run.state.timestamp) : run.totalRunTime;
}

export function startDelta(run: Run): Micros {
  const expected = run.expectedStart;
  if (expected === null) return 0;
  if (run.start !== null) return Math.max(0, run.start - expected);
  const waiting = run.state === null || !isFinal(run.state.type);
  return waiting ? Math.max(0, now() - expected) : 0;
}

export type AnyRun = FlowRun | TaskRun;
