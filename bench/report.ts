import { cpus, loadavg } from 'node:os';
import { median, medianRatio, range } from './lib/stats.js';
import type { Comparison, PollResult, Sample } from './poll.js';
import type { ReadResult, ReadsResult } from './reads.js';

export interface Results {
  poll: PollResult;
  startMs: number[];
  /** Missing where that part failed. */
  reads: ReadsResult | undefined;
}

type Row = string[];

/** The whole report, as lines of text. */
export function report({ poll, startMs, reads }: Results): string {
  const rows: Row[] = [
    ['', 'requests/s', 'p50 ms', 'p99 ms', 'CPU us', 'upstream calls'],
    ...pollRows('poll, distinct runs', poll.distinct),
    ...pollRows('poll, one run', poll.same),
    ...pollRows('poll, one connection', poll.alone),
    ...(reads ? readRows('list of 50 runs', reads.list) : []),
    ...(reads ? readRows('logs of 40 nodes', reads.logs) : []),
  ];
  const ratios: Row[] = [
    ['ratio, median of the rounds', 'requests/s or latency', 'CPU per request'],
    pollRatios('poll, distinct runs: facade / bare', poll.distinct),
    pollRatios('poll, one run: facade / bare', poll.same),
    pollRatios('poll, one connection: facade / bare', poll.alone),
    ...(reads ? [readRatio('list of 50 runs: naive / facade', reads.list)] : []),
    ...(reads ? [readRatio('logs of 40 nodes: naive / facade', reads.logs)] : []),
  ];
  return [
    table(rows),
    'Poll: medians of the rounds, CPU and upstream calls of one request. List, logs: one request at a time.',
    '',
    table(ratios),
    '',
    table(targetRows({ poll, startMs, reads })),
  ].join('\n');
}

function targetRows({ poll, startMs, reads }: Results): Row[] {
  const pollRatio = ratioOf(poll.distinct, 'perSecond');
  const listRatio = reads && medianRatio(reads.list.naive.ms, reads.list.facade.ms);
  const start = median(startMs);
  return [
    ['target', 'wanted', 'measured', ''],
    ['poll, facade / bare', '>= 0.75', pollRatio.toFixed(2), verdict(pollRatio >= 0.75)],
    [
      'list of 50 runs, naive / facade',
      '>= 15',
      listRatio?.toFixed(1) ?? '-',
      listRatio === undefined ? 'NOT MEASURED' : verdict(listRatio >= 15),
    ],
    [
      'RSS of the facade under the poll load',
      '< 120 MB',
      `${poll.rssMb.toFixed(0)} MB`,
      verdict(poll.rssMb < 120),
    ],
    [
      `listening (${startMs.length} starts: ${range(startMs, 0)})`,
      '< 700 ms',
      `${start.toFixed(0)} ms`,
      verdict(start < 700),
    ],
  ];
}

/** What the numbers depend on. */
export function machine(): string {
  const [first] = cpus();
  const load = loadavg()[0]?.toFixed(1) ?? '';
  return `${new Date().toISOString().slice(0, 16)}Z  Node ${process.version}  ${cpus().length} CPUs (${first?.model ?? 'unknown'})  load ${load}`;
}

function pollRows(what: string, { bare, facade }: Comparison): Row[] {
  const row = (who: string, samples: Sample[]) => {
    const of = (key: keyof Sample) => median(samples.map((sample) => sample[key]));
    return [
      `${what}: ${who}`,
      of('perSecond').toFixed(0),
      of('p50Ms').toFixed(1),
      of('p99Ms').toFixed(1),
      of('cpuUs').toFixed(0),
      of('upstreamCalls').toFixed(2),
    ];
  };
  return [row('bare', bare), row('facade', facade)];
}

function readRows(what: string, { facade, naive }: ReadResult): Row[] {
  const row = (who: string, { ms, calls }: ReadResult['facade']) => {
    return [
      `${what}: ${who}`,
      (1000 / median(ms)).toFixed(1),
      median(ms).toFixed(1),
      '-',
      '-',
      String(calls),
    ];
  };
  return [row('naive', naive), row('facade', facade)];
}

function pollRatios(what: string, rounds: Comparison): Row {
  const perRound = rounds.facade.map((sample, i) => sample.perSecond / (rounds.bare[i]?.perSecond ?? NaN));
  return [what, `${median(perRound).toFixed(2)} (${range(perRound)})`, ratioOf(rounds, 'cpuUs').toFixed(2)];
}

function readRatio(what: string, { facade, naive }: ReadResult): Row {
  const perRound = naive.ms.map((ms, i) => ms / (facade.ms[i] ?? NaN));
  return [what, `${median(perRound).toFixed(1)} (${range(perRound, 1)})`, '-'];
}

function ratioOf({ facade, bare }: Comparison, key: keyof Sample): number {
  return medianRatio(
    facade.map((sample) => sample[key]),
    bare.map((sample) => sample[key]),
  );
}

function verdict(isMet: boolean): string {
  return isMet ? 'met' : 'NOT MET';
}

/** Rows with columns of equal width. */
export function table(rows: Row[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const pad = (cell: string, column: number) =>
    column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0);
  return rows.map((row) => row.map(pad).join('   ').trimEnd()).join('\n');
}
