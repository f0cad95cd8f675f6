import type { Message } from '../../host/webhook.js';
import type { EndedRun, TerminalType } from '../../prefect/ended-runs.js';

/** Hosts free their locks at these names only: a state that has a name of its own is told by its type's. */
const NAMES: Record<TerminalType, string> = {
  COMPLETED: 'Completed',
  FAILED: 'Failed',
  CRASHED: 'Crashed',
  CANCELLED: 'Cancelled',
};

/** What the host is told of a run's end: the text that hosts read today, and an id that is the same for each attempt. */
export function newsOf({ id, name, state }: EndedRun): Message {
  const text = `Flow run ${name} with id ${id} entered state ${NAMES[state.type]}`;
  return { id: `${id}:${state.id}`, body: JSON.stringify({ body: text }) };
}
