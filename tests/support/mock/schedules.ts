import { Refusal, integrity } from './http.js';
import { type Obj } from './json.js';
import { type ScheduleUpdate } from './schedule-fields.js';
import { type Deployment, type Schedule, row } from './state.js';
import { formatTime, nowMillis } from './time.js';

/** Those without a schedule are passed over; `max_scheduled_runs` gets lost here, as there. */
export function newSchedules(wanted: ScheduleUpdate[]): Schedule[] {
  const made = wanted.flatMap(({ schedule, active, parameters, slug }): Schedule[] =>
    schedule === null
      ? []
      : [{ ...row(), schedule, active: active ?? true, maxScheduledRuns: null, parameters, slug }],
  );
  return distinct(made.reverse());
}

function distinct(schedules: Schedule[]): Schedule[] {
  const slugs = schedules.flatMap(({ slug }) => slug ?? []);
  if (new Set(slugs).size < slugs.length) throw integrity();
  return schedules;
}

const unprocessable = (detail: string): Refusal => new Refusal(422, { detail });

/** What `PATCH /deployments/{id}` makes of the schedules given: with slugs everywhere it merges, else it replaces. */
export function changedSchedules({ schedules }: Deployment, wanted: ScheduleUpdate[] | null): Schedule[] {
  const slugged = schedules.length > 0 && schedules.every(({ slug }) => slug !== null);
  if (!slugged) return wanted === null ? schedules : newSchedules(wanted);
  if (wanted === null) return schedules;
  if (wanted.every(({ slug }) => slug !== null)) return merged(schedules, wanted);
  throw unprocessable(
    'Please provide a slug for each schedule in your request to ensure schedules are updated correctly.',
  );
}

function merged(schedules: Schedule[], wanted: ScheduleUpdate[]): Schedule[] {
  checkRenames(schedules, wanted);
  const known = (slug: string | null) => schedules.some((item) => item.slug === slug);
  const isPatch = (item: ScheduleUpdate) => known(item.replaces ?? item.slug);
  const fresh = wanted.filter((item) => !isPatch(item));
  if (fresh.some(({ schedule }) => schedule === null)) {
    throw unprocessable('Unable to create new deployment schedules without a schedule configuration.');
  }
  let left = schedules;
  for (const change of wanted.filter(isPatch)) {
    const slug = change.replaces ?? change.slug;
    const old = left.find((item) => item.slug === slug);
    if (old === undefined) continue;
    left = [updated(old, change), ...left.filter((item) => item !== old)];
  }
  return distinct([...newSchedules(fresh), ...left]);
}

function checkRenames(schedules: Schedule[], wanted: ScheduleUpdate[]): void {
  const targets: string[] = [];
  for (const { replaces } of wanted) {
    if (replaces === null) continue;
    if (targets.includes(replaces)) {
      throw unprocessable(`Multiple schedules have 'replaces' targeting the same slug: ${replaces}`);
    }
    targets.push(replaces);
  }
  for (const { slug, replaces } of wanted) {
    const taken = slug !== null && schedules.some((item) => item.slug === slug) && !targets.includes(slug);
    if (!taken || replaces === null) continue;
    throw unprocessable(
      `Cannot rename schedule from '${replaces}' to '${slug}': a schedule with slug '${slug}' already exists.`,
    );
  }
}

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

/** Nulls change nothing, but parameters left out are emptied. */
function updated(item: Schedule, wanted: ScheduleUpdate): Schedule {
  return {
    ...item,
    schedule: wanted.schedule ?? item.schedule,
    active: wanted.active ?? item.active,
    maxScheduledRuns: wanted.max_scheduled_runs ?? item.maxScheduledRuns,
    parameters: wanted.parameters,
    slug: wanted.slug ?? item.slug,
    updated: nowMillis(),
  };
}

/** The last changed is the first of the list. */
export function updateSchedule(deployment: Deployment, item: Schedule, wanted: ScheduleUpdate): void {
  const others = deployment.schedules.filter((other) => other !== item);
  deployment.schedules = distinct([updated(item, wanted), ...others]);
}
