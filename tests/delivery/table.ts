import type { Result } from './play.js';

const WIDTHS = [7, 19, 6, 10, 6, 8, 6, 6, 6, 6, 5];

/** The first line of the table. Times are milliseconds, those of a round are seconds. */
export function heading(): string {
  return line([
    'server',
    'round',
    'ended',
    'delivered',
    'again',
    'outages',
    'p50',
    'p95',
    'limit',
    'max',
    'time',
    'result',
  ]);
}

/** A round's line. */
export function row(version: string, result: Result): string {
  const { round, ended, delivered, duplicates, outages, p50, p95, limitMs, max, seconds, problems } = result;
  const verdict = problems.length === 0 ? 'passed' : `FAILED (${problems.length})`;
  const numbers = [ended, delivered, duplicates, outages, p50, p95, limitMs, max, Math.round(seconds)];
  return line([version, round.name, ...numbers.map(String), verdict]);
}

/** The last line: what happened over all rounds. */
export function summary(results: Result[]): string {
  const failed = results.filter(({ problems }) => problems.length > 0).length;
  const ended = sum(results.map((result) => result.ended));
  const delivered = sum(results.map((result) => result.delivered));
  return `${results.length - failed} rounds passed, ${failed} failed: ${ended} terminal states ended, ${delivered} delivered`;
}

function line(cells: string[]): string {
  return cells
    .map((cell, index) => (index < 2 ? cell.padEnd(WIDTHS[index]!) : cell.padStart(WIDTHS[index] ?? 0)))
    .join(' ');
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
