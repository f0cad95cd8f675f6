import type { StateChange } from '../prefect/state-change.js';

/** Someone says that a flow run may have ended. A hint is never believed: settlement reads the run itself. */
export interface Hint {
  flowRunId: string;
  /** The state that is said to be terminal, where the source knows it (an event's id is its state's id). */
  stateId?: string;
  /** What is said of that state: used only if the run itself cannot be read. */
  end?: StateChange;
  /** The host is to be told again, whatever the run's labels say: one may be written in this very moment. */
  replay?: true;
}

/** Takes a hint at once and never fails: what follows from it happens later. */
export type OnHint = (hint: Hint) => void;
