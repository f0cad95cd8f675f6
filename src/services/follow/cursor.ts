/** How far somebody has read: what the `id` of an event says, and `Last-Event-ID` when they come again. */
export interface Cursor {
  /** The last state. */
  stateId?: string | undefined;
  log?: LogPosition | undefined;
  /** The last state was the end of it. */
  isEnd: boolean;
}

/**
 * What was read of the logs. Logs come in batches, in an order that is not that of their timestamps; their ids begin with
 * the millisecond in which they came in (UUIDv7).
 */
export interface LogPosition {
  /** `t`: all up to this log by their timestamps; `a`: all that came in up to it. */
  by: 't' | 'a';
  id: string;
  time: string;
  /** The latest timestamp of all that were read. */
  newest: string;
}

interface Log {
  id: string;
  timestamp: string;
}

const UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}';
const TIME = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z`;
export const CURSOR = new RegExp(`^s(${UUID})?(?:_([ta])_(${UUID})_(${TIME})_(${TIME}))?(_end)?$`);

/** @returns undefined for a text that is no cursor */
export function readCursor(text: string): Cursor | undefined {
  const [whole, stateId, by, id, time, newest, end] = CURSOR.exec(text) ?? [];
  if (whole === undefined) return undefined;
  const isEnd = end !== undefined;
  if (id === undefined || time === undefined || newest === undefined) return { stateId, isEnd };
  if (Number.isNaN(Date.parse(time)) || Number.isNaN(Date.parse(newest))) return undefined;
  return { stateId, log: { by: by === 't' ? 't' : 'a', id, time, newest }, isEnd };
}

export function writeCursor({ stateId = '', log, isEnd }: Cursor): string {
  const position = log ? `_${log.by}_${log.id}_${log.time}_${log.newest}` : '';
  return `s${stateId}${position}${isEnd ? '_end' : ''}`;
}

/** The position after a log that was read in the order of timestamps. */
export function afterByTime({ id, timestamp }: Log): LogPosition {
  return { by: 't', id, time: timestamp, newest: timestamp };
}

/** The position when a log is among those that were read, in whatever order they were. */
export function withArrival(position: LogPosition | undefined, log: Log): LogPosition {
  const { id, timestamp: time } = log;
  if (!position) return { by: 'a', id, time, newest: time };
  const newest = isLater(time, position.newest) ? time : position.newest;
  return isUnread(log, { ...position, by: 'a' })
    ? { by: 'a', id, time, newest }
    : { ...position, by: 'a', newest };
}

/** Whether a log is not among those before a position. One that was may be taken for unread, not the other way. */
export function isUnread(log: Log, { by, id, time }: LogPosition): boolean {
  if (by === 'a' && arrival(log.id) !== arrival(id)) return arrival(log.id) > arrival(id);
  return log.id !== id && !isLater(time, log.timestamp);
}

/** The order in which logs came in; those of one batch by their timestamps. */
export function byArrival(one: Log, other: Log): number {
  const [a, b] = [arrival(one.id), arrival(other.id)];
  if (a !== b) return a < b ? -1 : 1;
  return isLater(one.timestamp, other.timestamp) ? 1 : isLater(other.timestamp, one.timestamp) ? -1 : 0;
}

/** Whether one ISO time is later than another; their fractions may be of any length. */
export function isLater(one: string, other: string): boolean {
  return sortable(one) > sortable(other);
}

/** An ISO time, some milliseconds earlier. */
export function earlier(time: string, milliseconds: number): string {
  return new Date(Date.parse(time) - milliseconds).toISOString();
}

function arrival(id: string): string {
  return id.slice(0, 13);
}

function sortable(time: string): string {
  const [seconds = '', fraction = ''] = time.replace('Z', '').split('.');
  return `${seconds}.${fraction.padEnd(6, '0')}`;
}
