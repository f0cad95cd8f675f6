import { type Obj, float, isObj } from './json.js';
import { estimatedRunTime, startDelta, stateView } from './run-states.js';
import { type TaskRun } from './state.js';
import { formatOptional, formatTime } from './time.js';

export function taskRunView(run: TaskRun): Obj {
  const base = {
    id: run.id,
    created: formatTime(run.created),
    updated: formatTime(run.updated),
    name: run.name,
    flow_run_id: run.flowRunId,
    task_key: run.taskKey,
  };
  return {
    ...base,
    dynamic_key: run.dynamicKey,
    cache_key: null,
    cache_expiration: null,
    task_version: run.taskVersion,
    empirical_policy: policy(),
    tags: run.tags,
    labels: run.labels,
    state_id: run.state?.id ?? null,
    task_inputs: run.inputs,
    state_type: run.state?.type ?? null,
    state_name: run.state?.name ?? null,
    run_count: run.runCount,
    flow_run_run_count: run.flowRunRunCount,
    expected_start_time: formatOptional(run.expectedStart),
    next_scheduled_start_time: formatOptional(run.nextScheduledStart),
    ...durations(run),
    state: stateView(run.state),
  };
}

/** `/paginate` answers with fewer keys than the other reads. */
export function shortView(run: TaskRun): Obj {
  const {
    id,
    created: made,
    updated,
    name,
    flow_run_id,
    task_key,
    state_id,
    state,
    task_version,
    task_inputs,
  } = taskRunView(run);
  const head = {
    id,
    created: made,
    updated,
    name,
    flow_run_id,
    task_key,
    state_id,
    state,
    task_version,
    task_inputs,
  };
  return { ...head, empirical_policy: policy(), tags: run.tags, ...durations(run) };
}

function policy(): Obj {
  const retry_delay_seconds = float(0);
  return { max_retries: 0, retry_delay_seconds, retries: null, retry_delay: null, retry_jitter_factor: null };
}

function durations(run: TaskRun): Obj {
  return {
    start_time: formatOptional(run.start),
    end_time: formatOptional(run.end),
    total_run_time: float(run.totalRunTime / 1_000_000),
    estimated_run_time: float(estimatedRunTime(run) / 1_000_000),
    estimated_start_time_delta: float(startDelta(run) / 1_000_000),
  };
}

/** The ids that a task's inputs name, one entry an argument, with the argument's key. */
export function upstream(run: TaskRun): { key: string; input: Obj }[] {
  return Object.entries(run.inputs).flatMap(([key, items]) =>
    items.filter(isObj).map((input) => ({ key, input })),
  );
}
