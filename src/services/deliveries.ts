import pLimit from 'p-limit';
import { AppError } from '../errors.js';
import type { PrefectSession } from '../prefect/client.js';
import { addLabels, isEnded, parseRun, type EndedRun } from '../prefect/ended-runs.js';
import { UpstreamError } from '../prefect/errors.js';
import type { PageSize } from '../prefect/pages.js';
import { toUtcTime } from '../schemas/time.js';
import type { OnHint } from './hints.js';
import type { RunPoller } from './poll.js';
import { webhookId } from './settlement/webhook-message.js';
import type { Channel } from './settlement/channel.js';
import { readAll } from './settlement/deliveries-without-run.js';
import { readBeginning } from './settlement/position.js';
import { deliveryState, progressOf, unsettledLabels } from './settlement/progress.js';
import { sweep } from './settlement/sweep.js';

/** A run's place among all that ended: the latest end first, those of the same time by id. */
export interface Place {
  /** UTC, as `toUtcTime` writes it, so that texts compare as times. */
  time: string;
  id: string;
}

export interface EndedBetween {
  /** UTC as `toUtcTime` writes it, both inclusive; no `until`: to the latest. */
  since: string;
  until?: string | undefined;
  /** The last place that was read before. */
  after?: Place | undefined;
  wanted: (run: EndedRun) => boolean;
  /** Runs wanted at most. */
  limit: number;
}

export interface Found {
  runs: EndedRun[];
  /** Where to go on; undefined at the end of the range. */
  next: Place | undefined;
  /** Runs that the orchestrator cannot show, e.g. for a label that is null. */
  unreadable: number;
}

/** Pages of 200 runs that one request reads, about. */
const PAGES = 10;
/** Finding one costs 8 calls that fail, and an orchestrator that only fails looks like many of them. */
const MOST_UNREADABLE = 2;

/**
 * The wanted ones of the top-level runs that ended within a time, by place. Reads a bounded number of pages, so that
 * there may be more where fewer than `limit` came.
 * @throws UpstreamError also for more than two runs that cannot be shown
 */
export async function findEnded(api: PrefectSession, size: PageSize, query: EndedBetween): Promise<Found> {
  const { since, until, after, wanted, limit } = query;
  const found: Found = { runs: [], next: after, unreadable: 0 };
  const pages = sweep(() => api, {
    size,
    from: since,
    until: after && (until === undefined || after.time < until) ? after.time : until,
    onUnreadable: () => {
      found.unreadable += 1;
      if (found.unreadable > MOST_UNREADABLE) throw new UpstreamError('status', { status: 500 });
    },
  });
  let read = 0;
  for await (const runs of byPlace(pages)) {
    for (const run of runs) {
      const place = placeOf(run);
      if (after && !isBehind(place, after)) continue;
      if (found.runs.length === limit) return found;
      found.next = place;
      if (wanted(run)) found.runs.push(run);
    }
    read += 1;
    if (read >= PAGES && found.next !== after) return found;
  }
  return { ...found, next: undefined };
}

/**
 * The runs of pages that come by time, those of the same time by id: the orchestrator says nothing of their order.
 * The last ones of a page are held back until it is known that the next page has no more of their time.
 */
async function* byPlace(pages: AsyncIterable<EndedRun[]>): AsyncGenerator<EndedRun[]> {
  let held: EndedRun[] = [];
  for await (const page of pages) {
    const runs = [...held, ...page];
    const last = runs.at(-1)?.end_time;
    held = runs.filter((run) => run.end_time === last);
    yield sorted(runs.filter((run) => run.end_time !== last));
  }
  yield sorted(held);
}

function sorted(runs: EndedRun[]): EndedRun[] {
  const placed = runs.map((run) => ({ run, place: placeOf(run) }));
  return placed.sort((a, b) => (isBehind(a.place, b.place) ? 1 : -1)).map(({ run }) => run);
}

function placeOf({ id, end_time: endTime }: EndedRun): Place {
  const time = toUtcTime(endTime);
  if (!('value' in time)) throw new UpstreamError('shape');
  return { time: time.value, id };
}

function isBehind(place: Place, other: Place): boolean {
  return place.time < other.time || (place.time === other.time && place.id > other.id);
}

/**
 * Reads when the deliveries of a host that was added later began: what ended before is not for it. One call, and only as
 * long as it is not known.
 * @throws UpstreamError
 */
export async function learnBeginning(api: PrefectSession, channel: Channel): Promise<void> {
  if (channel.isDefault || channel.begunAt !== undefined) return;
  const since = await readBeginning(api, channel.variable);
  if (since !== undefined) channel.beginAt(since);
}

/** The deliveries of runs that are gone or cannot be read, as far as they are noted; the latest first. @throws UpstreamError */
export function listWithoutRun(api: PrefectSession, { withoutRunVariable }: Channel) {
  return readAll(api, withoutRunVariable);
}

/** What is known of the delivery of a run's end. */
export function deliveryOf(run: EndedRun, channel: Channel) {
  const { delivery, isCleaned } = progressOf(run, channel);
  const state = deliveryState(run, channel);
  return {
    flow_run_id: run.id,
    name: run.name,
    state_id: run.state.id,
    state_type: run.state.type,
    state_name: run.state.name,
    ended_at: run.end_time,
    delivery: state,
    attempts: delivery?.attempts ?? 0,
    next_attempt: state === 'pending' ? (delivery?.next ?? null) : null,
    last: delivery?.last ?? null,
    cleaned: isCleaned,
  };
}

export interface ReplayDeps {
  poller: RunPoller;
  hint: OnHint;
  channel: Channel;
}

/**
 * Lets the host be told again of a run's end, whatever became of it.
 * @returns the `webhook-id`, which is that of the first time
 * @throws AppError 409 where the run has not ended, is a subflow or is not wanted; UpstreamError 404 where there is none
 */
export async function replay(api: PrefectSession, deps: ReplayDeps, id: string): Promise<string> {
  const run = parseRun(await deps.poller.pollAfresh(api, id));
  if (!isEnded(run)) throw new AppError('conflict', `flow run ${id} has not ended`);
  if (run.parent_task_run_id !== null) {
    throw new AppError('conflict', `flow run ${id} is a subflow: hosts are told of top-level runs only`);
  }
  if (!progressOf(run, deps.channel).isWanted)
    throw new AppError('conflict', `flow run ${id} is one of which the host does not want to hear`);
  await startAgain(api, deps, run);
  return webhookId(run);
}

/** Label writes at the same time: SQLite has one writer, and settlement wants to write, too. */
const WRITES_AT_ONCE = 4;

/**
 * As `replay`, for all wanted runs of a time. Doing it twice does no harm.
 * @returns what was found, and how many of them are told again: a run may have been deleted meanwhile
 */
export async function recover(api: PrefectSession, size: PageSize, deps: ReplayDeps, query: EndedBetween) {
  const found = await findEnded(api, size, query);
  const turns = pLimit(WRITES_AT_ONCE);
  const started = await Promise.allSettled(
    found.runs.map((run) => turns(() => startAgain(api, deps, run).then(() => true, isGone))),
  );
  const failed = started.find((one) => one.status === 'rejected');
  if (failed) throw failed.reason;
  return { ...found, replayed: started.filter((one) => one.status === 'fulfilled' && one.value).length };
}

/** A hint alone does not hurry what waits for its next attempt. */
async function startAgain(
  api: PrefectSession,
  { poller, hint, channel }: ReplayDeps,
  run: EndedRun,
): Promise<void> {
  const { isSettled, delivery } = progressOf(run, channel);
  if (isSettled || delivery) {
    await poller.writing(run.id, () => addLabels(api, run.id, unsettledLabels(channel)));
  }
  hint({ flowRunId: run.id, replay: true });
}

function isGone(error: unknown): false {
  if (error instanceof UpstreamError && error.isNotFound) return false;
  throw error;
}
