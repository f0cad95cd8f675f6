import { ExactNumber } from '../json.js';
import { readIsoDate } from '../lib/iso-date.js';
import type { Problem } from './problem.js';

/** A date, and a time of day whose parts are all separated by colons or none of them. */
const DATE_TIME =
  /^([\dW-]+)(?:[Tt _](\d{2})(?:(:?)(\d{2})(?:\3(\d{2})(?:[.,](\d+))?)?)?\s*([Zz]|[-+−]\d{2}(?::?\d{2})?| \d{2}:\d{2})?)?$/;
const NUMBER = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)$/;
const EARLIEST = new Date(0).setUTCFullYear(1, 0, 1);
/**
 * PostgreSQL rounds the last microsecond of 9999 up to the year 10000: such a run can be neither read nor deleted, and the
 * lists that it is in are a 500. A year earlier nothing that anybody adds to it gets there.
 */
const LATEST = Date.UTC(9998, 11, 31, 23, 59, 59, 999);
const LONGEST = 1_000;
/** pydantic reads larger numbers as milliseconds. */
const MILLISECONDS_FROM = 2e10;

/**
 * Reads a time as hosts have been sending it: what pydantic takes for a `datetime` (ISO 8601 with `T` or a blank, a date
 * alone, epoch seconds or milliseconds as a number or its text), and the other forms of ISO 8601, which Prefect and
 * Python's `fromisoformat` read: basic (`20260131T120000Z`), hours alone, weeks (`2026-W05-6`), days of the year
 * (`2026-031`). As for pydantic, a text of digits alone is an epoch. Without a zone it is UTC. A `+` that a query turned
 * into a blank is taken as `+`.
 * @returns the time as `2026-01-31T12:00:00.123456+00:00`
 */
export function toUtcTime(given: unknown): { value: string } | Problem {
  if (typeof given === 'number') return fromEpoch(given);
  if (given instanceof ExactNumber) return fromEpoch(Number(given.text));
  if (typeof given !== 'string') return { type: 'datetime_type', msg: 'Input should be a valid datetime' };
  // No form of a time is longer, and the expressions below take their time for a text of megabytes.
  if (given.length > LONGEST) return unreadable('invalid character or length');
  const text = given.trim();
  if (NUMBER.test(text)) return fromEpoch(Number(text));
  const [whole, date = '', hour = '0', , minute = '0', second = '0', fraction = '', zone = 'Z'] =
    DATE_TIME.exec(text) ?? [];
  const day = readIsoDate(date);
  if (whole === undefined || day === 'unreadable') return unreadable('invalid character or length');
  if (day === 'nonexistent') return unreadable('day value is outside expected range');
  const offset = offsetMinutes(zone);
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59 || offset === undefined)
    return unreadable('time value is outside expected range');
  const minutes = Number(hour) * 60 + Number(minute) - offset;
  return written(day + (minutes * 60 + Number(second)) * 1000, fraction.padEnd(6, '0').slice(0, 6));
}

/** The time `hours` before another one (or before now), as UTC text. */
export function hoursBefore(hours: number, reference: string | null): { value: string } | Problem {
  const from = reference ?? new Date().toISOString();
  const fraction = /\.(\d+)/.exec(from)?.[1] ?? '';
  return written(Math.floor(Date.parse(from) / 1000) * 1000 - hours * 3_600_000, fraction.padEnd(6, '0'));
}

/** The time `minutes` from now, as UTC text. */
export function minutesFromNow(minutes: number): { value: string } | Problem {
  return written(Date.now() + minutes * 60_000, '000000');
}

function fromEpoch(number: number): { value: string } | Problem {
  const perSecond = Math.abs(number) > MILLISECONDS_FROM ? 1000 : 1;
  const seconds = Math.floor(number / perSecond);
  // Only what is left is multiplied: times 1000, a fraction of seconds may be off by a microsecond.
  const microseconds = Math.round((number - seconds * perSecond) * (1_000_000 / perSecond));
  return written(seconds * 1000, String(Math.min(999_999, microseconds)).padStart(6, '0'));
}

/** @param milliseconds of a whole second, or any where the fraction is zero */
function written(milliseconds: number, microseconds: string): { value: string } | Problem {
  if (!(milliseconds >= EARLIEST && milliseconds <= LATEST)) return unreadable('year is out of range');
  return { value: `${new Date(milliseconds).toISOString().slice(0, 19)}.${microseconds}+00:00` };
}

function unreadable(why: string): Problem {
  return { type: 'datetime_from_date_parsing', msg: `Input should be a valid datetime or date, ${why}` };
}

/** Minutes before UTC; undefined for an offset of a day or more, or with more than 59 minutes. */
function offsetMinutes(zone: string): number | undefined {
  if (zone === 'Z' || zone === 'z') return 0;
  const sign = zone.startsWith('-') || zone.startsWith('−') ? -1 : 1;
  const digits = zone.replace(/\D/g, '').padEnd(4, '0');
  const [hours, minutes] = [Number(digits.slice(0, 2)), Number(digits.slice(2))];
  return hours > 23 || minutes > 59 ? undefined : sign * (hours * 60 + minutes);
}
