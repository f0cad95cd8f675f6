import { LosslessNumber } from 'lossless-json';
import { type Obj, float } from './json.js';
import { formatTime, nowMillis } from './time.js';
import {
  type Problem,
  absent,
  anything,
  bool,
  defaulted,
  dict,
  field,
  int,
  list,
  model,
  optional,
  text,
} from './validate.js';

const RANGES: [number, number, string[]][] = [
  [0, 59, []],
  [0, 23, []],
  [1, 31, ['l']],
  [1, 12, ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']],
  [0, 7, ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']],
  [0, 59, []],
  [1970, 2099, []],
];
const ALIASES = ['@yearly', '@annually', '@monthly', '@weekly', '@daily', '@midnight', '@hourly'];

/** Five fields, then seconds, then years, as croniter takes them. */
export function isCron(cron: string): boolean {
  if (ALIASES.includes(cron)) return true;
  const fields = cron.trim().toLowerCase().split(/\s+/);
  if (fields.length < 5 || fields.length > 7) return false;
  return fields.every((item, index) => item.split(',').every((part) => isPart(part, RANGES[index])));
}

function isPart(part: string, range: [number, number, string[]] | undefined): boolean {
  const match = /^(\*|\?|[a-z]+|\d+)(?:-([a-z]+|\d+))?(?:\/(\d+))?(?:#\d)?$/.exec(part);
  if (match === null || range === undefined) return false;
  const [low, high, words] = range;
  const fits = (value: string | undefined) =>
    value === undefined ||
    value === '*' ||
    value === '?' ||
    words.includes(value) ||
    (/^\d+$/.test(value) && Number(value) >= low && Number(value) <= high);
  return fits(match[1]) && fits(match[2]) && match[3] !== '0';
}

type Loc = Problem['loc'];

function valueError(loc: Loc, words: string, input: unknown): Problem {
  return { type: 'value_error', loc, msg: `Value error, ${words}`, input, ctx: { error: {} } };
}

const cron = field<string>((input, loc, problems) => {
  const value = text.parse(input, loc, problems);
  if (typeof input !== 'string') return value;
  const random = value.split(/\s+/).some((part) => /^[rh]$/i.test(part));
  if (random && isCron(value.replace(/(?<!\S)[rh](?!\S)/gi, '*'))) {
    const words = `Random and Hashed expressions are unsupported, received: "${value}"`;
    problems.push(valueError(loc, words, input));
  } else if (!isCron(value)) {
    problems.push(valueError(loc, `Invalid cron string: "${value}"`, input));
  }
  return value;
});

const interval = field<number>((input, loc, problems) => {
  const value = typeof input === 'number' || input instanceof LosslessNumber ? Number(input) : NaN;
  if (value <= 0) problems.push(valueError(loc, 'interval must be positive', input));
  if (!Number.isNaN(value)) return value;
  const error = 'invalid digit in duration';
  const msg = `Input should be a valid timedelta, ${error}`;
  problems.push({ type: 'time_delta_parsing', loc, msg, input, ctx: { error } });
  return 0;
});

const rrule = field<string>((input, loc, problems) => {
  const value = text.parse(input, loc, problems);
  if (typeof input !== 'string' || value.includes('=')) return value;
  const words = `Invalid RRule string "${value}": not enough values to unpack (expected 2, got 1)`;
  problems.push(valueError(loc, words, input));
  return value;
});

function isZone(zone: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: zone }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

/** The server lists its zones in this message; here they are those of Node.js. */
const zoneOfRule = field<string>((input, loc, problems) => {
  const value = text.parse(input, loc, problems);
  if (typeof input !== 'string' || isZone(value)) return value;
  const pattern = Intl.supportedValuesOf('timeZone').join('|');
  const msg = `String should match pattern '${pattern}'`;
  problems.push({ type: 'string_pattern_mismatch', loc, msg, input, ctx: { pattern } });
  return value;
});

const intervalSchedule = model({ interval, anchor_date: absent(anything), timezone: optional(text) });
const cronSchedule = model({ cron, timezone: optional(text), day_or: defaulted(bool, () => true) });
const rruleSchedule = model({ rrule, timezone: defaulted(optional(zoneOfRule), () => 'UTC') });

/** A zone is looked at when everything else is right. */
function checkZone(zone: string | null, input: unknown, loc: Loc, problems: Problem[]): void {
  if (problems.length > 0 || zone === null || isZone(zone)) return;
  const hint = '(specify in IANA tzdata format, for example, America/New_York)';
  problems.push(valueError(loc, `Invalid timezone: "${zone}" ${hint}`, input));
}

type Kind = (input: unknown, loc: Loc, problems: Problem[]) => Obj;
const KINDS: Record<string, Kind> = {
  'function-after[validate_timezone(), IntervalSchedule]': (input, loc, problems) => {
    const { timezone, ...rest } = intervalSchedule.parse(input, loc, problems);
    checkZone(timezone, input, loc, problems);
    const anchor_date = rest.anchor_date ?? formatTime(nowMillis());
    return { interval: float(rest.interval), anchor_date, timezone: timezone ?? 'UTC' };
  },
  'function-after[validate_timezone(), CronSchedule]': (input, loc, problems) => {
    const { timezone, ...rest } = cronSchedule.parse(input, loc, problems);
    checkZone(timezone, input, loc, problems);
    return { cron: rest.cron, timezone, day_or: rest.day_or };
  },
  RRuleSchedule: (input, loc, problems) => {
    const given = rruleSchedule.parse(input, loc, problems);
    if (problems.length > 0) return {};
    const start = given.rrule.includes('DTSTART') ? '' : 'DTSTART:20200101T000000\n';
    return { rrule: start + given.rrule, timezone: given.timezone };
  },
};

/** A union of three kinds: a wrong one is refused by each of them. */
const schedule = field((input, loc, problems): Obj => {
  const all: Problem[] = [];
  for (const [name, parse] of Object.entries(KINDS)) {
    const own: Problem[] = [];
    const found = parse(input, [...loc, name], own);
    if (own.length === 0) return found;
    all.push(...own);
  }
  problems.push(...all);
  return {};
});

const MOST = 50;
const most = field<number>((input, loc, problems) => {
  const own: Problem[] = [];
  const value = int(undefined).parse(input, loc, own);
  problems.push(...own);
  if (own.length > 0) return value;
  if (value <= 0) {
    const msg = 'Input should be greater than 0';
    problems.push({ type: 'greater_than', loc, msg, input, ctx: { gt: 0 } });
  } else if (value > MOST) {
    problems.push(valueError(loc, `\`max_scheduled_runs\` must be less than or equal to ${MOST}.`, input));
  }
  return value;
});

const common = {
  max_scheduled_runs: optional(most),
  parameters: defaulted(dict, () => ({})),
  slug: optional(text),
  replaces: optional(text),
};
export const schedulesCreate = list(model({ active: defaulted(bool, () => true), schedule, ...common }));
export const scheduleUpdate = model({ active: optional(bool), schedule: optional(schedule), ...common });
export type ScheduleUpdate = ReturnType<typeof scheduleUpdate.parse>;
