import { type Obj, float, isObj } from './json.js';
import { type Deployment, type Schedule, row } from './state.js';
import { formatTime, nowMillis } from './time.js';
import { type Problem, bool, dict, field, int, list, model, optional, text } from './validate.js';

const RANGES: [number, number, string[]][] = [
  [0, 59, []],
  [0, 23, []],
  [1, 31, ['l']],
  [1, 12, ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']],
  [0, 7, ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']],
  [0, 59, []],
];
const ALIASES = ['@yearly', '@annually', '@monthly', '@weekly', '@daily', '@midnight', '@hourly'];

/** Five fields, or six with seconds, as croniter takes them. */
export function isCron(cron: string): boolean {
  if (ALIASES.includes(cron)) return true;
  const fields = cron.trim().toLowerCase().split(/\s+/);
  if (fields.length !== 5 && fields.length !== 6) return false;
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

const CRON = 'function-after[validate_timezone(), CronSchedule]';
const INTERVAL = 'function-after[validate_timezone(), IntervalSchedule]';
const RRULE = 'RRuleSchedule';

/** A union of three kinds: a wrong one is refused once by each of them. */
const schedule = field((input, loc, problems): Obj => {
  const given = isObj(input) ? input : {};
  const { cron, interval, rrule, timezone } = given;
  if (typeof cron === 'string') problems.push(...cronProblems(given, cron, loc));
  if (cron !== undefined) return { cron, timezone: timezone ?? null, day_or: given['day_or'] ?? true };
  if (interval !== undefined) {
    const anchor_date = given['anchor_date'] ?? formatTime(nowMillis());
    return { interval: float(Number(interval)), anchor_date, timezone: timezone ?? 'UTC' };
  }
  if (typeof rrule === 'string') {
    const start = rrule.includes('DTSTART') ? '' : 'DTSTART:20200101T000000\n';
    return { rrule: start + rrule, timezone: timezone ?? 'UTC' };
  }
  problems.push(missing([...loc, INTERVAL, 'interval'], input), missing([...loc, CRON, 'cron'], input));
  problems.push(missing([...loc, RRULE, 'rrule'], input));
  return {};
});

const missing = (loc: Problem['loc'], input: unknown): Problem => ({
  type: 'missing',
  loc,
  msg: 'Field required',
  input,
});

function cronProblems(given: Obj, cron: string, loc: Problem['loc']): Problem[] {
  const zone = given['timezone'];
  const error = (at: string[], words: string, input: unknown): Problem => ({
    type: 'value_error',
    loc: [...loc, CRON, ...at],
    msg: `Value error, ${words}`,
    input,
    ctx: { error: {} },
  });
  if (!isCron(cron)) return union(given, cron, loc, error(['cron'], `Invalid cron string: "${cron}"`, cron));
  if (typeof zone !== 'string' || isZone(zone)) return [];
  const hint = '(specify in IANA tzdata format, for example, America/New_York)';
  return union(given, cron, loc, error([], `Invalid timezone: "${zone}" ${hint}`, given));
}

function isZone(zone: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: zone }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

function union(given: Obj, cron: string, loc: Problem['loc'], own: Problem): Problem[] {
  const extra = (kind: string): Problem => ({
    type: 'extra_forbidden',
    loc: [...loc, kind, 'cron'],
    msg: 'Extra inputs are not permitted',
    input: cron,
  });
  return [
    missing([...loc, INTERVAL, 'interval'], given),
    extra(INTERVAL),
    own,
    missing([...loc, RRULE, 'rrule'], given),
    extra(RRULE),
  ];
}

const common = {
  active: optional(bool),
  max_scheduled_runs: optional(int(1)),
  parameters: optional(dict),
  slug: optional(text),
  replaces: optional(text),
};
const create = model({ schedule, ...common });
export const schedulesCreate = list(create);
export const scheduleUpdate = model({ schedule: optional(schedule), ...common });

export function newSchedules(wanted: ReturnType<typeof schedulesCreate.parse>): Schedule[] {
  return wanted
    .map((item) => ({
      ...row(),
      schedule: item.schedule,
      active: item.active ?? true,
      maxScheduledRuns: item.max_scheduled_runs,
      parameters: item.parameters ?? {},
      slug: item.slug,
    }))
    .reverse();
}

/** The newest first, also within one request. */
export function scheduleView(deployment: Deployment, item: Schedule): Obj {
  return {
    id: item.id,
    created: formatTime(item.created),
    updated: formatTime(item.updated),
    deployment_id: deployment.id,
    schedule: item.schedule,
    active: item.active,
    max_scheduled_runs: item.maxScheduledRuns,
    parameters: item.parameters,
    slug: item.slug,
  };
}

export function updateSchedule(item: Schedule, wanted: ReturnType<typeof scheduleUpdate.parse>): void {
  item.schedule = wanted.schedule ?? item.schedule;
  item.active = wanted.active ?? item.active;
  item.maxScheduledRuns = wanted.max_scheduled_runs ?? item.maxScheduledRuns;
  item.parameters = wanted.parameters ?? item.parameters;
  item.slug = wanted.slug ?? item.slug;
  item.updated = nowMillis();
}
