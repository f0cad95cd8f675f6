import { randomBytes } from 'node:crypto';

/** Times are whole microseconds since the epoch, the resolution the server stores. */
export type Micros = number;

let last = 0;

/** Strictly increasing, so that two states of one run never share a timestamp. */
export function now(): Micros {
  const wall = Date.now() * 1000 + (Math.floor(performance.now() * 1000) % 1000);
  const steppedBack = wall < last - 1_000_000;
  last = wall > last || steppedBack ? wall : last + 1;
  return last;
}

/** `onupdate` columns of the server carry milliseconds only. */
export function nowMillis(): Micros {
  return Math.floor(now() / 1000) * 1000;
}

export function formatTime(time: Micros): string {
  const micros = ((time % 1_000_000) + 1_000_000) % 1_000_000;
  const seconds = new Date((time - micros) / 1000).toISOString().slice(0, 19);
  return micros === 0 ? `${seconds}Z` : `${seconds}.${String(micros).padStart(6, '0')}Z`;
}

export function formatOptional(time: Micros | null): string | null {
  return time === null ? null : formatTime(time);
}

const ISO =
  /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s*(Z|z|[+-]\d\d:?\d\d)?)?$/;

/** ISO text; without a zone it is UTC. */
export function parseTime(text: string): Micros | undefined {
  const match = ISO.exec(text.trim());
  if (match === null) return undefined;
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = '', zone = 'Z'] = match;
  const millis = Date.UTC(
    Number(year),
    Number(month) - 1,
    Number(day),
    Number(hour),
    Number(minute),
    Number(second),
  );
  const date = new Date(millis);
  if (date.getUTCMonth() !== Number(month) - 1 || date.getUTCDate() !== Number(day)) return undefined;
  return millis * 1000 + Number(fraction.slice(0, 6).padEnd(6, '0')) - offsetMicros(zone);
}

function offsetMicros(zone: string): Micros {
  if (zone === 'Z' || zone === 'z') return 0;
  const digits = zone.slice(1).replace(':', '');
  const minutes = Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2));
  return (zone.startsWith('-') ? -1 : 1) * minutes * 60_000_000;
}

/** States and logs carry time-ordered ids; every other object a random one. */
export function uuid7(): string {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(Math.floor(now() / 1000), 0, 6);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x70;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
