import { z } from 'zod';
import { jsonOrText } from '../../json.js';
import type { EndedRun, Run } from '../../prefect/ended-runs.js';
import type { Channel } from './channel.js';

/** How the labels of this service begin. */
export const OWN_PREFIX = 'prefect-proxy.';

/**
 * The labels of a run in which settlement keeps what it must not forget; deliveries are noted in those of a channel. Each
 * is text: null or an object breaks lists.
 */
export const LABELS = {
  /** What the run holds, as JSON; written when it is created. */
  cleanup: 'prefect-proxy.cleanup',
  /** The state that was cleaned up after. */
  cleaned: 'prefect-proxy.cleaned',
  /** `false`: no host hears of the run; written when it is created. */
  notify: 'prefect-proxy.notify',
  /** It was to be cancelled because nobody started it in time; text that is not empty. Whoever waits may ask again. */
  notStarted: 'prefect-proxy.not-started',
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
  /** Whether the host is to hear of it at all. */
  isWanted: boolean;
  isSettled: boolean;
  delivery: DeliveryRecord | undefined;
}

export type DeliveryState = 'pending' | 'delivered' | 'dead' | 'not_wanted';

/** Reads a run's progress from its labels. */
export function progressOf(run: EndedRun, channel: Channel): Progress {
  const { labels, state } = run;
  const label = labels?.[channel.labels.delivery];
  const record = delivery.safeParse(typeof label === 'string' ? jsonOrText(label) : undefined);
  return {
    isCleaned: labels?.[LABELS.cleaned] === state.id,
    isWanted:
      channel.concerns(run) && labels?.[LABELS.notify] !== NOT_WANTED && !state.state_details?.task_run_id,
    isSettled: labels?.[channel.labels.settled] === state.id,
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
export function deliveryState(run: EndedRun, channel: Channel): DeliveryState {
  const progress = progressOf(run, channel);
  if (progress.isSettled) return 'delivered';
  if (!progress.isWanted) return 'not_wanted';
  return progress.delivery?.dead ? 'dead' : 'pending';
}

/** Whether there is nothing to deliver any more: the host knows, is not to know, or could not be reached for too long. */
export function isDelivered({ isWanted, isSettled, delivery }: Progress): boolean {
  return !isWanted || isSettled || delivery?.dead === true;
}

const NOT_WANTED = 'false';

/** The label of a run of which no host is to hear. */
export const notWantedLabel = () => ({ [LABELS.notify]: NOT_WANTED });
/** The labels that say so. */
export const cleanedLabel = (run: EndedRun) => ({ [LABELS.cleaned]: run.state.id });
export const settledLabel = (run: EndedRun, { labels }: Channel) => ({ [labels.settled]: run.state.id });
export const deliveryLabel = (record: DeliveryRecord, { labels }: Channel) => ({
  [labels.delivery]: JSON.stringify(record),
});
/** Takes back that a state was told or given up. */
export const unsettledLabels = ({ labels }: Channel) => ({ [labels.settled]: '', [labels.delivery]: '' });
