import { type Obj, isObj } from './json.js';
import { releaseTags } from './limits.js';
import { applyState, freshCopy, isFinal, plainState, stateView } from './run-states.js';
import { stateChange } from './state-events.js';
import { type FlowRun, type RunState, type State, type TaskRun } from './state.js';
import { now } from './time.js';

type Verdict =
  | { status: 'ACCEPT' }
  | { status: 'REJECT'; reason: string; instead?: RunState }
  | { status: 'ABORT'; reason: string }
  | { status: 'WAIT'; reason: string; delay: number };

const ACCEPT: Verdict = { status: 'ACCEPT' };

export interface Orchestration {
  body: Obj;
  changed: boolean;
}

/** `POST /flow_runs/{id}/set_state`: the rules of the core policy, or the few that `force` leaves. */
export function setFlowRunState(state: State, run: FlowRun, wanted: RunState, force: boolean): Orchestration {
  const verdict = force ? minimalRules(run, wanted) : flowRules(run, wanted);
  return settle(verdict, run.state, wanted, (final) => {
    enterFlowRunState(state, run, final);
  });
}

export function enterFlowRunState(state: State, run: FlowRun, next: RunState): void {
  next.details['flow_run_id'] = run.id;
  if (run.parentTaskRunId !== null) next.details['task_run_id'] = run.parentTaskRunId;
  const before = run.state;
  applyState(run, next);
  state.events.add(stateChange(state, run, before, next));
  const parent = run.parentTaskRunId === null ? undefined : state.taskRuns.get(run.parentTaskRunId);
  if (parent === undefined) return;
  const copy = freshCopy(next);
  copy.details['child_flow_run_id'] = run.id;
  enterTaskRunState(state, parent, copy);
}

export function setTaskRunState(state: State, run: TaskRun, wanted: RunState, force: boolean): Orchestration {
  const flowRun = run.flowRunId === null ? undefined : state.flowRuns.get(run.flowRunId);
  const verdict = force ? ACCEPT : taskRules(run, flowRun, wanted);
  return settle(verdict, run.state, wanted, (final) => {
    enterTaskRunState(state, run, final);
    if (!force && final.type === 'RUNNING' && flowRun !== undefined) run.flowRunRunCount = flowRun.runCount;
  });
}

export function enterTaskRunState(state: State, run: TaskRun, next: RunState): void {
  next.details['flow_run_id'] = run.flowRunId;
  next.details['task_run_id'] = run.id;
  applyState(run, next);
  if (!['RUNNING', 'CANCELLING'].includes(next.type)) releaseTags(state, run.tags, run.id);
}

function settle(
  verdict: Verdict,
  current: RunState | null,
  wanted: RunState,
  enter: (state: RunState) => void,
): Orchestration {
  const next =
    verdict.status === 'ACCEPT' ? wanted : verdict.status === 'REJECT' ? verdict.instead : undefined;
  if (next !== undefined) enter(next);
  const type = `${verdict.status.toLowerCase()}_details`;
  const details: Obj = { type };
  if (verdict.status === 'WAIT') details['delay_seconds'] = verdict.delay;
  if (verdict.status !== 'ACCEPT') details['reason'] = verdict.reason;
  const body = { state: stateView(next ?? current), status: verdict.status, details };
  return { body, changed: next !== undefined };
}

function minimalRules(run: FlowRun, wanted: RunState): Verdict {
  return keepResult(run, wanted) ?? bypassCancelling(run, wanted) ?? ACCEPT;
}

function flowRules(run: FlowRun, wanted: RunState): Verdict {
  const from = run.state;
  if (from === null) return ACCEPT;
  const transition = from.details['transition_id'];
  if (transition !== null && transition === wanted.details['transition_id']) {
    return { status: 'REJECT', reason: 'This run has already made this state transition.' };
  }
  return (
    (isFinal(from.type) ? leaveTerminal(run, from, wanted) : undefined) ??
    enforceCancelling(from, wanted) ??
    bypassCancelling(run, wanted) ??
    preventPending(from, wanted) ??
    onlyScheduledLate(from, wanted) ??
    waitForSchedule(from, wanted) ??
    retryFailed(run, from, wanted) ??
    ACCEPT
  );
}

function leaveTerminal(run: FlowRun, from: RunState, wanted: RunState): Verdict | undefined {
  if (['CANCELLING', 'PAUSED', 'CRASHED'].includes(wanted.type)) {
    return { status: 'ABORT', reason: `Run is already in terminal state ${from.type}.` };
  }
  if (from.type === 'COMPLETED' && !isFinal(wanted.type) && persisted(from.data)) {
    return { status: 'REJECT', reason: 'Run is already COMPLETED.' };
  }
  const kept = keepResult(run, wanted);
  if (kept !== undefined) return kept;
  if (wanted.type === 'SCHEDULED' && run.deploymentId === null) {
    return { status: 'ABORT', reason: 'Cannot reschedule a run without an associated deployment.' };
  }
  if (!isFinal(wanted.type)) run.policy.retryType = wanted.type === 'SCHEDULED' ? 'reschedule' : null;
  return undefined;
}

function keepResult(run: FlowRun, wanted: RunState): Verdict | undefined {
  const discards = wanted.type === 'COMPLETED' && !persisted(wanted.data);
  if (run.state?.type !== 'COMPLETED' || !persisted(run.state.data) || !discards) return undefined;
  const reason =
    'Cannot overwrite a COMPLETED state that carries persisted result data with one that does not.';
  return { status: 'REJECT', reason };
}

function persisted(data: unknown): boolean {
  return isObj(data) && Object.keys(data).length > 0 && data['type'] !== 'unpersisted';
}

function enforceCancelling(from: RunState, wanted: RunState): Verdict | undefined {
  if (from.type !== 'CANCELLING' || wanted.type === 'CANCELLED') return undefined;
  const reason = 'Cannot transition flows that are cancelling to a state other than Cancelled.';
  return { status: 'REJECT', reason };
}

/** A run with nothing to kill is CANCELLED at once; the answer then says REJECT. */
function bypassCancelling(run: FlowRun, wanted: RunState): Verdict | undefined {
  const from = run.state;
  if (from === null || wanted.type !== 'CANCELLING') return undefined;
  const idle = from.type === 'SCHEDULED' && (run.infrastructurePid === null || from.name === 'Resuming');
  const suspended = from.type === 'PAUSED' && from.details['pause_reschedule'] === true;
  if (!idle && !suspended) return undefined;
  const reason = `${idle ? 'Scheduled' : 'Suspended'} flow run has no infrastructure to terminate.`;
  return { status: 'REJECT', reason, instead: plainState('CANCELLED') };
}

function preventPending(from: RunState, wanted: RunState): Verdict | undefined {
  if (wanted.type !== 'PENDING') return undefined;
  if (!['PENDING', 'CANCELLING', 'RUNNING', 'CANCELLED'].includes(from.type)) {
    if (from.type === 'SCHEDULED') wanted.details.scheduled_time ??= from.details.scheduled_time;
    return undefined;
  }
  if (from.type === 'PENDING' && from.name !== wanted.name && wanted.name !== 'Pending') {
    wanted.details.scheduled_time = from.details.scheduled_time;
    return undefined;
  }
  const reason = `This run is in a ${from.type} state and cannot transition to a PENDING state.`;
  return { status: 'ABORT', reason };
}

function onlyScheduledLate(from: RunState, wanted: RunState): Verdict | undefined {
  if (wanted.type !== 'SCHEDULED' || wanted.name !== 'Late') return undefined;
  if (from.type !== 'SCHEDULED')
    return { status: 'REJECT', reason: 'Only scheduled flows can be marked late.' };
  return from.name === 'Late'
    ? { status: 'REJECT', reason: 'This flow run is already marked late.' }
    : undefined;
}

function waitForSchedule(from: RunState, wanted: RunState): Verdict | undefined {
  const due = from.details.scheduled_time;
  if (wanted.type !== 'RUNNING' || due === null) return undefined;
  if (from.type !== 'SCHEDULED' && from.type !== 'PENDING') return undefined;
  const delay = Math.round((due - now()) / 1_000_000);
  return delay > 0 ? { status: 'WAIT', reason: 'Scheduled time is in the future', delay } : undefined;
}

/** A run with retries left does not fail: it waits for its next attempt. */
function retryFailed(run: FlowRun, from: RunState, wanted: RunState): Verdict | undefined {
  if (from.type !== 'RUNNING' || wanted.type !== 'FAILED') return undefined;
  const { retries, retryDelay } = run.policy;
  if (retries === null || run.runCount > retries) {
    run.policy.retryType = null;
    return undefined;
  }
  run.policy.retryType = 'in_process';
  const instead = plainState('SCHEDULED');
  instead.name = 'AwaitingRetry';
  instead.message = wanted.message;
  instead.data = wanted.data;
  instead.details.scheduled_time = instead.timestamp + (retryDelay ?? 0) * 1_000_000;
  instead.details['deployment_concurrency_lease_id'] = from.details['deployment_concurrency_lease_id'];
  return { status: 'REJECT', reason: 'Retrying', instead };
}

function taskRules(run: TaskRun, flowRun: FlowRun | undefined, wanted: RunState): Verdict {
  const from = run.state;
  if (from !== null && isFinal(from.type)) {
    if (['CANCELLING', 'PAUSED', 'CRASHED'].includes(wanted.type)) {
      return { status: 'ABORT', reason: `Run is already ${from.type}.` };
    }
    if (from.type === 'COMPLETED' && persisted(from.data)) {
      return { status: 'REJECT', reason: 'This run is already completed.' };
    }
    if (!isFinal(wanted.type)) run.runCount = 0;
    const retrying = flowRun !== undefined && run.flowRunRunCount < flowRun.runCount;
    if (wanted.type === 'RUNNING' && retrying) wanted.name = 'Retrying';
  }
  if (wanted.type === 'RUNNING' && flowRun !== undefined && flowRun.state?.type !== 'RUNNING') {
    return { status: 'ABORT', reason: 'The enclosing flow must be running to begin task execution.' };
  }
  const waits = from === null ? undefined : waitForSchedule(from, wanted);
  if (waits !== undefined) return waits;
  if (wanted.type === 'RUNNING' && run.runCount > 0) {
    wanted.name = from?.name === 'AwaitingRetry' ? 'Retrying' : 'Rerunning';
  }
  return ACCEPT;
}
