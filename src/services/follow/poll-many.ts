import type { PrefectSession } from '../../prefect/client.js';
import { TERMINAL } from '../../prefect/ended-runs.js';
import * as summaries from '../../prefect/run-summaries.js';
import type { ListLimits } from '../rows.js';

/** The states of many runs, in the order of their ids, each once; and the ids of those that do not exist. */
export async function pollMany(api: PrefectSession, { size }: ListLimits, wanted: readonly string[]) {
  const ids = [...new Set(wanted)];
  const found = new Map((await summaries.byIds(api, size, ids)).map((run) => [run.id, run]));
  return {
    flow_runs: ids.flatMap((id) => {
      const run = found.get(id);
      return run ? [view(run)] : [];
    }),
    missing: ids.filter((id) => !found.has(id)),
  };
}

function view(run: summaries.RunSummary) {
  const { id, name, deployment_id, state_type, state_name } = run;
  const { expected_start_time, start_time, end_time, total_run_time } = run;
  const times = { expected_start_time, start_time, end_time, total_run_time };
  const ended = TERMINAL.some((type) => type === state_type);
  return { id, name, deployment_id, state_type, state_name, ...times, ended };
}
