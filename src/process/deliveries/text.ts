import { printable } from '../../lib/printable.js';

const UNITS = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** A time as people give it: `90s`, `30m`, `2h` or `3d` ago becomes ISO; anything else is the facade's to read. */
export function timeAgo(given: string, now = Date.now()): string {
  const [, number, unit] = /^(\d+(?:\.\d+)?)([smhd])$/.exec(given.trim()) ?? [];
  if (number === undefined || !isUnit(unit)) return given;
  const time = new Date(now - Number(number) * UNITS[unit] * 1000);
  // What is further back than any calendar is as wrong as what is no time.
  return Number.isNaN(time.getTime()) ? given : time.toISOString();
}

function isUnit(text: string | undefined): text is keyof typeof UNITS {
  return text !== undefined && text in UNITS;
}

/** Lines with aligned columns; the last one is as long as it is. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    rows.reduce((width, row) => Math.max(width, printable(row[column] ?? '').length), 0),
  );
  return rows.map((row) =>
    row
      .map((cell, column) => printable(cell).padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

const BAR = 24;

/** `[#######.................]  29 %` @param share from 0 to 1 */
export function bar(share: number): string {
  const done = Math.min(1, Math.max(0, share));
  const filled = Math.round(done * BAR);
  const percent = String(Math.floor(done * 100)).padStart(3);
  return `[${'#'.repeat(filled)}${'.'.repeat(BAR - filled)}] ${percent} %`;
}
