import { z } from 'zod';
import { jsonOrText } from '../../json.js';
import type { EndedRun, Run } from '../../prefect/ended-runs.js';

/** How the labels of this service begin. */
export const OWN_PREFIX = 'prefect-proxy.';

/** The labels of a run in which settlement keeps what it must not forget. Each is text: null or an object breaks lists. */
export const LABELS = {
  /** What the run holds, as JSON; written when it is created. */
  cleanup: 'prefect-proxy.cleanup',
  /** The state that was cleaned up after. */
  cleaned: 'prefect-proxy.cleaned',
  /** The state that the host knows of. */
  settled: 'prefect-proxy.settled',
  /** It was to be cancelled because nobody started it in time; text that is not empty. Whoever waits may ask again. */
  notStarted: 'prefect-proxy.not-started',
  /** Attempts at telling the host, as JSON: one label, because two writers may not mix. */
  delivery: 'prefect-proxy.delivery',
} as const;

const delivery = z.object({
  state: z.string(),
  attempts: z.number().int().min(0),
  /** ISO time of the next attempt; none once it is dead. */
  next: z.string().nullable(),
  /** What the last attempt met: a status or a word. */
  last: z.string(),
  dead: z.boolean(),
});
export type DeliveryRecord = z.infer<typeof delivery>;

/** How far the settlement of a run's present state is; what belongs to an earlier state does not count. */
export interface Progress {
  isCleaned: boolean;
  isSettled: boolean;
  delivery: DeliveryRecord | undefined;
}

export type DeliveryState = 'pending' | 'delivered' | 'dead';

/** Reads a run's progress from its labels. */
export function progressOf({ labels, state }: EndedRun): Progress {
  const label = labels?.[LABELS.delivery];
  const record = delivery.safeParse(typeof label === 'string' ? jsonOrText(label) : undefined);
  return {
    isCleaned: labels?.[LABELS.cleaned] === state.id,
    isSettled: labels?.[LABELS.settled] === state.id,
    delivery: record.success && record.data.state === state.id ? record.data : undefined,
  };
}

/** Whether a run has declared something that it holds no more: it cannot live again. */
export function hasGivenUp({ labels, state }: Run): boolean {
  const declared = labels?.[LABELS.cleanup];
  return Boolean(declared) && state !== null && labels?.[LABELS.cleaned] === state.id;
}

/** Whether a run was cancelled because nobody started it in time: it has done nothing, and is to be tried again. */
export function isNotStarted(labels: Run['labels'], stateType: string | null | undefined): boolean {
  return Boolean(labels?.[LABELS.notStarted]) && (stateType === 'CANCELLED' || stateType === 'CANCELLING');
}

/** Where the delivery of a run's present state stands. */
export function deliveryState(run: EndedRun): DeliveryState {
  const progress = progressOf(run);
  if (progress.isSettled) return 'delivered';
  return progress.delivery?.dead ? 'dead' : 'pending';
}

/** Whether nothing is left to do for a run's present state. */
export function isFinished(run: EndedRun): boolean {
  const progress = progressOf(run);
  return progress.isCleaned && (progress.isSettled || progress.delivery?.dead === true);
}

/** The labels that say so. */
export const cleanedLabel = (run: EndedRun) => ({ [LABELS.cleaned]: run.state.id });
export const settledLabel = (run: EndedRun) => ({ [LABELS.settled]: run.state.id });
export const deliveryLabel = (record: DeliveryRecord) => ({ [LABELS.delivery]: JSON.stringify(record) });
/** Takes back that a state was told or given up. */
export const unsettledLabels = () => ({ [LABELS.settled]: '', [LABELS.delivery]: '' });
