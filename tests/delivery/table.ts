import type { Result } from './play.js';
import type { Problem } from './verifier.js';

const SHOWN = 4;

/** Times are milliseconds, but for `time`. */
const COLUMNS: [title: string, width: number, of: (result: Result) => string | number][] = [
  ['ended', 6, ({ ended }) => ended],
  ['delivered', 10, ({ delivered }) => delivered],
  // Ends that another end followed: the host may know of them.
  ['earlier', 8, ({ earlierEnds }) => `${earlierEnds.delivered}/${earlierEnds.of}`],
  // Under the same id.
  ['again', 6, ({ duplicates }) => duplicates],
  ['outages', 8, ({ outages }) => outages],
  // What half of the state changes took at Prefect itself: where that is long, the machine is busy.
  ['change', 7, ({ changeMs }) => changeMs],
  // Of the facades to Prefect, for each run: reads of several runs at once are one.
  ['calls', 6, ({ calls }) => calls.toFixed(1)],
  ['p50', 6, ({ p50 }) => p50],
  ['p95', 6, ({ p95 }) => p95],
  ['limit', 6, ({ limitMs }) => limitMs],
  ['max', 6, ({ max }) => max],
  ['time', 6, ({ seconds }) => `${seconds.toFixed(0)}s`],
];

/** The first line of the table. */
export function heading(): string {
  return line('server', 'round', (title) => title) + ' result';
}

/** A round's line. */
export function row(version: string, result: Result): string {
  const { round, problems } = result;
  const verdict = problems.length === 0 ? 'passed' : `FAILED (${problems.length})`;
  return `${line(version, round.name, (_, of) => String(of(result)))} ${verdict}`;
}

/** The problems of a round, a few of each kind. */
export function problemLines(problems: Problem[]): string[] {
  const kinds = new Map<string, string[]>();
  for (const { kind, text } of problems) kinds.set(kind, [...(kinds.get(kind) ?? []), text]);
  return [...kinds].flatMap(([kind, texts]) => {
    const more = texts.length - SHOWN;
    return [...texts.slice(0, SHOWN), ...(more > 0 ? [`${more} more like these (${kind})`] : [])];
  });
}

/** The last line: what happened over all rounds. */
export function summary(results: Result[]): string {
  const failed = results.filter(({ problems }) => problems.length > 0).length;
  const ended = sum(results.map((result) => result.ended));
  const delivered = sum(results.map((result) => result.delivered));
  return `${results.length - failed} rounds passed, ${failed} failed: ${ended} terminal states ended, ${delivered} delivered`;
}

function line(
  server: string,
  round: string,
  cell: (title: string, of: (result: Result) => unknown) => string,
) {
  const cells = COLUMNS.map(([title, width, of]) => cell(title, of).padStart(width));
  return [server.padEnd(7), round.padEnd(19), ...cells].join(' ');
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
