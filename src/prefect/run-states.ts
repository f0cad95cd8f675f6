import { z } from 'zod';
import type { PrefectSession } from './client.js';
import { TERMINAL } from './ended-runs.js';
import { plain } from './parse.js';
import { path } from './path.js';

/** All types of states. */
export const STATE_TYPES = [
  ...['SCHEDULED', 'PENDING', 'RUNNING', 'PAUSED', 'CANCELLING'],
  ...TERMINAL,
] as const;

const state = z.object({
  id: z.string(),
  type: z.string(),
  name: z.string(),
  timestamp: z.string(),
  message: z.string().nullish(),
  state_details: z.object({ task_run_id: z.string().nullish() }).nullish(),
});
const states = plain(z.array(state));
export type RunState = z.input<typeof state>;

/** `GET /flow_run_states/`: all states that a run has had, the oldest first; none where there is no such run. */
export function list(api: PrefectSession, flowRunId: string): Promise<RunState[]> {
  const url = path`/flow_run_states/`.withQuery({ flow_run_id: flowRunId });
  return api.get(url, { retry: 'read', parse: states });
}
