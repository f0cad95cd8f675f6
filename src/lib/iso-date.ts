const DAY_MS = 86_400_000;
const CALENDAR = /^(\d{4})(?:-(\d{2})-(\d{2})|(\d{2})(\d{2})|-(\d{2}))$/;
const WEEK = /^(\d{4})(?:-W(\d{2})(?:-(\d))?|W(\d{2})(\d)?)$/;
const ORDINAL = /^(\d{4})-?(\d{3})$/;

/**
 * Reads a date in any form of ISO 8601: `2026-01-31`, `20260131`, `2026-01` (its first day), the week `2026-W05` (its
 * Monday) or a day of it (`2026-W05-6`, `2026W056`), the day of the year (`2026-031`, `2026031`).
 * @returns its first millisecond in UTC; `nonexistent` for a day that no calendar has, `unreadable` for another text
 */
export function readIsoDate(text: string): number | 'nonexistent' | 'unreadable' {
  const [date, year = '', ...digits] = CALENDAR.exec(text) ?? WEEK.exec(text) ?? ORDINAL.exec(text) ?? [];
  if (date === undefined) return 'unreadable';
  const [first = 1, second = 1] = digits.filter(Boolean).map(Number);
  if (text.includes('W')) return dayOfWeek(Number(year), first, second);
  return ORDINAL.test(text) ? dayOfYear(Number(year), first) : dayOfMonth(Number(year), first, second);
}

function dayOfMonth(year: number, month: number, day: number): number | 'nonexistent' {
  const isThere =
    month >= 1 && month <= 12 && day >= 1 && day <= new Date(utc(year, month + 1, 0)).getUTCDate();
  return isThere ? utc(year, month, day) : 'nonexistent';
}

function dayOfYear(year: number, day: number): number | 'nonexistent' {
  const date = utc(year, 1, day);
  return day >= 1 && date < utc(year + 1, 1, 1) ? date : 'nonexistent';
}

/** The fourth of January is always in a year's first week, and the 28th of December in its last one. */
function dayOfWeek(year: number, week: number, day: number): number | 'nonexistent' {
  const fourth = utc(year, 1, 4);
  const firstMonday = fourth - ((new Date(fourth).getUTCDay() + 6) % 7) * DAY_MS;
  const monday = firstMonday + (week - 1) * 7 * DAY_MS;
  const isThere = week >= 1 && monday <= utc(year, 12, 28) && day >= 1 && day <= 7;
  return isThere ? monday + (day - 1) * DAY_MS : 'nonexistent';
}

function utc(year: number, month: number, day: number): number {
  // Date.UTC takes the years 0-99 for 1900-1999.
  return new Date(0).setUTCFullYear(year, month - 1, day);
}
