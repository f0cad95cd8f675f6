import { type NewEvent } from './events.js';
import { type Obj } from './json.js';
import { type FlowRun, type RunState, type State } from './state.js';
import { type Micros, formatTime } from './time.js';

const TIGHT: Micros = 5 * 60 * 1_000_000;

/** The event of a flow run's change of state; its id is the id of the new state. */
export function stateChange(state: State, run: FlowRun, before: RunState | null, after: RunState): NewEvent {
  const tight = before !== null && Math.abs(after.timestamp - before.timestamp) < TIGHT;
  return {
    occurred: after.timestamp,
    event: `prefect.flow-run.${after.name}`,
    resource: {
      'prefect.resource.id': `prefect.flow-run.${run.id}`,
      'prefect.resource.name': run.name,
      'prefect.run-count': String(run.runCount),
      'prefect.state-message': after.message ?? '',
      'prefect.state-name': after.name,
      'prefect.state-timestamp': isoFormat(after.timestamp),
      'prefect.state-type': after.type,
    },
    related: related(state, run),
    payload: {
      intended: { from: before?.type ?? null, to: after.type },
      initial_state: before === null ? null : brief(before),
      validated_state: brief(after),
    },
    id: after.id,
    follows: tight ? before.id : null,
  };
}

/** Python's `isoformat`. */
function isoFormat(time: Micros): string {
  return formatTime(time).replace('Z', '+00:00');
}

function brief(state: RunState): Obj {
  const message = state.message === null || state.message === '' ? {} : { message: state.message };
  const paused =
    state.type === 'PAUSED'
      ? { pause_reschedule: state.details['pause_reschedule'] === true ? 'true' : 'false' }
      : {};
  return { type: state.type, name: state.name, ...message, ...paused };
}

function related(state: State, run: FlowRun): Obj[] {
  const flow = state.flows.get(run.flowId);
  const deployment = state.deployments.get(run.deploymentId ?? '');
  const queue = state.queues.get(run.queueId ?? '');
  const pool = state.pools.get(queue?.poolId ?? '');
  const task = state.taskRuns.get(run.parentTaskRunId ?? '');
  const tags = new Set([run, flow, deployment, task].flatMap((item) => item?.tags ?? []));
  return [
    ...resource('flow', flow),
    ...resource('deployment', deployment),
    ...resource('work-queue', queue),
    ...resource('work-pool', pool, pool && { 'prefect.work-pool.type': pool.type }),
    ...resource('task-run', task),
    ...[...tags]
      .sort()
      .map((tag) => ({ 'prefect.resource.id': `prefect.tag.${tag}`, 'prefect.resource.role': 'tag' })),
  ];
}

function resource(kind: string, item: { id: string; name: string } | undefined, more: Obj = {}): Obj[] {
  if (item === undefined) return [];
  const id = `prefect.${kind}.${item.id}`;
  return [
    {
      'prefect.resource.id': id,
      'prefect.resource.role': kind,
      'prefect.resource.name': item.name,
      ...more,
    },
  ];
}
