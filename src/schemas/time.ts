import { ExactNumber } from '../json.js';
import type { Problem } from './problem.js';

const DATE_TIME =
  /^(\d{4})-(\d{2})-(\d{2})(?:[Tt _](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s*([Zz]|[+-]\d{2}(?::?\d{2})?| \d{2}:\d{2})?)?$/;
const NUMBER = /^[+-]?\d+(\.\d*)?$/;
const EARLIEST = new Date(0).setUTCFullYear(1, 0, 1);
const LATEST = Date.UTC(9999, 11, 31, 23, 59, 59, 999);
/** pydantic reads larger numbers as milliseconds. */
const MILLISECONDS_FROM = 2e10;

/**
 * Reads a time as pydantic does: ISO with `T` or a blank, a date alone, epoch seconds or milliseconds as number or
 * text. Without a zone it is UTC. A `+` that a query turned into a blank is taken as `+`.
 * @returns the time as `2026-01-31T12:00:00.123456+00:00`
 */
export function toUtcTime(given: unknown): { value: string } | Problem {
  if (typeof given === 'number') return fromEpoch(given);
  if (given instanceof ExactNumber) return fromEpoch(Number(given.text));
  if (typeof given !== 'string') return { type: 'datetime_type', msg: 'Input should be a valid datetime' };
  const text = given.trim();
  if (NUMBER.test(text)) return fromEpoch(Number(text));
  const parts = DATE_TIME.exec(text);
  if (!parts) return unreadable('invalid character or length');
  const [, year, month, day, hour = '00', minute = '00', second = '00', fraction = '', zone = 'Z'] = parts;
  if (Number(month) < 1 || Number(month) > 12)
    return unreadable('month value is outside expected range of 1-12');
  if (Number(day) < 1 || Number(day) > daysIn(Number(year), Number(month))) {
    return unreadable('day value is outside expected range');
  }
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59)
    return unreadable('time value is outside expected range');
  const local = utc(Number(year), Number(month), Number(day), Number(hour), Number(minute), Number(second));
  return written(local - offsetMilliseconds(zone), fraction.padEnd(6, '0').slice(0, 6));
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
  const milliseconds = Math.abs(number) > MILLISECONDS_FROM ? number : number * 1000;
  const whole = Math.floor(milliseconds / 1000) * 1000;
  return written(
    whole,
    String(Math.min(999_999, Math.round((milliseconds - whole) * 1000))).padStart(6, '0'),
  );
}

/** @param milliseconds of a whole second, or any where the fraction is zero */
function written(milliseconds: number, microseconds: string): { value: string } | Problem {
  if (!(milliseconds >= EARLIEST && milliseconds <= LATEST)) return unreadable('year is out of range');
  return { value: `${new Date(milliseconds).toISOString().slice(0, 19)}.${microseconds}+00:00` };
}

function unreadable(why: string): Problem {
  return { type: 'datetime_from_date_parsing', msg: `Input should be a valid datetime or date, ${why}` };
}

function utc(year: number, month: number, day: number, hour: number, minute: number, second: number): number {
  // Date.UTC takes the years 0-99 for 1900-1999.
  return new Date(0).setUTCFullYear(year, month - 1, day) + ((hour * 60 + minute) * 60 + second) * 1000;
}

function daysIn(year: number, month: number): number {
  return new Date(utc(year, month + 1, 0, 0, 0, 0)).getUTCDate();
}

function offsetMilliseconds(zone: string): number {
  if (zone === 'Z' || zone === 'z') return 0;
  const sign = zone.startsWith('-') ? -1 : 1;
  const digits = zone.replace(/\D/g, '').padEnd(4, '0');
  return sign * (Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2))) * 60_000;
}
