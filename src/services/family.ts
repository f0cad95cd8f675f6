import type { PrefectSession } from '../prefect/client.js';
import * as taskRuns from '../prefect/task-runs.js';
import { cutOf, type Cut, type ListLimits } from './rows.js';

export const DBT_TEST_FAILED = 'DBT_TEST_FAILED';

/** Runs with the subflows below them. */
export interface Family extends Cut {
  /** Each run of it, with the top run it belongs to. */
  topOf: Map<string, string>;
  /** The top runs with a task run in the state that was looked for, at any depth. */
  hits: Set<string>;
}

/**
 * Finds the subflows of runs at all depths: one query a level, however many runs a level has.
 * @param stateName a state to look for among the task runs of the family
 */
export async function findFamily(
  api: PrefectSession,
  { size, ceiling }: ListLimits,
  flowRunIds: string[],
  stateName?: string,
): Promise<Family> {
  const family: Family = { topOf: new Map(flowRunIds.map((id) => [id, id])), hits: new Set() };
  let level = flowRunIds;
  while (level.length > 0) {
    const found = await taskRuns.subflowsAndStates(api, size, level, stateName, ceiling);
    Object.assign(family, cutOf(family, found));
    const next: string[] = [];
    for (const { flow_run_id: parent, state_name, state } of found.rows) {
      const top = parent === null ? undefined : family.topOf.get(parent);
      if (top === undefined) continue;
      if (stateName !== undefined && state_name === stateName) family.hits.add(top);
      const child = state?.state_details?.child_flow_run_id;
      if (!child || family.topOf.has(child)) continue;
      family.topOf.set(child, top);
      next.push(child);
    }
    level = next;
  }
  return family;
}
