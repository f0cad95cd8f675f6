import type { Log } from '../../prefect/logs.js';
import type { RunState } from '../../prefect/run-states.js';
import { OVERLAP_MS, type RunFeed } from './feed.js';
import { afterByTime, earlier, isUnread, withArrival, writeCursor, type Cursor } from './cursor.js';

/** One thing that happened to a run; `id` is the cursor after it. One without a name only says how far all was told. */
export interface RunEvent {
  event?: 'state' | 'log' | 'end' | 'deleted';
  id: string;
  data?: unknown;
}

export interface Following {
  cursor: Cursor;
  /** Aborted when the one who follows is gone. */
  gone: AbortSignal;
  /** After so long without anything, nothing is told. */
  heartbeatMs: number;
}

/** Logs that are told at once. */
const CHUNK = 100;
/** Logs read by oneself that may be found by the feed as well. */
const MAX_SEEN = 5_000;

/**
 * Tells what happens to a run after a cursor: states, logs as they come in, its end. Goes on only when it is asked to,
 * so one who reads slowly costs no memory: what the feed has let go by then is read again.
 * @returns groups of events; an empty one says that all is well
 */
export async function* follow(feed: RunFeed, { cursor: from, gone, heartbeatMs }: Following) {
  let cursor: Cursor = { ...from, isEnd: false };
  let next: number | undefined;
  const seen = new Set<string>();
  const isOver = () => gone.aborted || feed.isClosed;
  while (!isOver()) {
    const events: RunEvent[] = [];
    // Before the rest is looked at: where it is settled then, there is no more.
    const { isSettled, version } = feed;
    for (const state of statesAfter(feed.states, cursor.stateId)) {
      cursor = { ...cursor, stateId: state.id };
      events.push({ event: 'state', id: writeCursor(cursor), data: stateData(state) });
    }
    if (events.length > 0) yield events.splice(0);

    if (next === undefined || next < feed.logs.first) {
      next = feed.logs.next;
      let { log } = cursor;
      for await (const page of readAll(feed, cursor, gone)) {
        for (const row of page) {
          // What came in since is told in the order of timestamps: until all of it is, nothing is said of it.
          if (cursor.log?.by !== 'a') cursor = { ...cursor, log: afterByTime(row) };
          log = withArrival(log, row);
          events.push(logEvent(row, cursor));
          remember(seen, row.id);
        }
        if (events.length > 0) yield events.splice(0);
      }
      cursor = { ...cursor, log };
      if (log) yield [{ id: writeCursor(cursor) }];
    }
    while (next >= feed.logs.first && next < feed.logs.next) {
      const rows = feed.logs.from(next, CHUNK);
      next += rows.length;
      for (const row of rows.filter(({ id }) => !seen.has(id))) {
        cursor = { ...cursor, log: withArrival(cursor.log, row) };
        events.push(logEvent(row, cursor));
      }
      if (events.length > 0) yield events.splice(0);
    }
    if (next < feed.logs.first) continue;

    if (feed.isGone) {
      yield [
        { event: 'deleted', id: writeCursor({ ...cursor, isEnd: true }), data: null },
      ] satisfies RunEvent[];
      return;
    }
    const last = feed.states.at(-1);
    if (isSettled && last) {
      const id = writeCursor({ ...cursor, isEnd: true });
      yield [{ event: 'end', id, data: stateData(last) }] satisfies RunEvent[];
      return;
    }
    if (!(await feed.news(version, heartbeatMs, gone))) yield [];
  }
}

/** The logs after a cursor, page by page. */
async function* readAll(feed: RunFeed, { log: last }: Cursor, gone: AbortSignal) {
  const after = last && (last.by === 't' ? last.time : earlier(last.newest, OVERLAP_MS));
  const limit = feed.pageSize;
  for (let offset = 0; !gone.aborted; offset += limit) {
    const rows = await feed.page(after, offset, limit);
    yield rows.filter((row) => last === undefined || isUnread(row, last));
    if (rows.length < limit) return;
  }
}

function statesAfter(states: readonly RunState[], id: string | undefined): readonly RunState[] {
  // All of them where it is not known.
  return states.slice(states.findIndex((state) => state.id === id) + 1);
}

function stateData({ id, type, name, timestamp, message }: RunState) {
  return { id, type, name, timestamp, message: message ?? null };
}

function logEvent(log: Log, cursor: Cursor): RunEvent {
  const { id, level, timestamp, name, message, flow_run_id, task_run_id } = log;
  const data = { id, level, timestamp, name, message, flow_run_id, task_run_id };
  return { event: 'log', id: writeCursor(cursor), data };
}

function remember(seen: Set<string>, id: string): void {
  seen.add(id);
  if (seen.size <= MAX_SEEN) return;
  const [oldest] = seen;
  if (oldest !== undefined) seen.delete(oldest);
}
