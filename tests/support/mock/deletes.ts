import { type FlowRun, type State } from './state.js';

export function deleteFlowRun(state: State, run: FlowRun): void {
  state.flowRuns.delete(run.id);
  const tasks = [...state.taskRuns.values()].filter((task) => task.flowRunId === run.id);
  for (const task of tasks) {
    state.taskRuns.delete(task.id);
    for (const child of state.flowRuns.values())
      if (child.parentTaskRunId === task.id) child.parentTaskRunId = null;
  }
  state.logs = state.logs.filter((log) => log.flowRunId !== run.id);
}
