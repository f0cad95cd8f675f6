import { collectDefaultMetrics, Counter, Histogram, Registry } from 'prom-client';
import { countsOf, merged, snapshot, textOf, type Snapshot } from './snapshot.js';

type Labels = Record<string, string | number>;

/** What something is called in `/metrics`, and what it means. */
interface About {
  name: string;
  help: string;
}

interface Reading extends About {
  /** A counter, whose name ends in `_total`, only ever grows. */
  type: 'counter' | 'gauge';
  labels?: Record<string, string>;
  /** How those of the same name and labels, here and in other processes, make one: added up where it is not given. */
  aggregator?: 'sum' | 'max';
  /** Is asked at each scrape; undefined: there is no such number at this moment. */
  read: () => number | undefined;
}

/**
 * What one process counts. Labels are bounded and hold no name, id or path of a host. Numbers that a part of the facade
 * keeps anyway are read at each scrape; only what has to be told of when it happens is counted here.
 */
export class Metrics {
  private readonly registry = new Registry();
  private readonly counters = new Map<string, Counter>();
  private readonly histograms = new Map<string, Histogram>();
  private readonly readings: Reading[] = [];
  private readonly parts = new Set<Metrics>();
  private retired: Snapshot = [];

  /** Adds what Node knows of this process: CPU, memory, event loop, garbage collection. */
  addProcess(): void {
    collectDefaultMetrics({ register: this.registry });
  }

  /** Adds a number that somebody else keeps. */
  read(reading: Reading): void {
    this.readings.push(reading);
  }

  /** Adds a counter, where it is not there yet. @returns what counts one */
  counter({ name, help, labels }: About & { labels: string[] }): (labels: Labels) => void {
    const counter =
      this.counters.get(name) ?? new Counter({ name, help, labelNames: labels, registers: [this.registry] });
    this.counters.set(name, counter);
    return (given) => {
      counter.inc(given);
    };
  }

  /** Adds a histogram of times, where it is not there yet. @param buckets upper bounds in seconds @returns what counts one time, in seconds */
  times({
    name,
    help,
    labels,
    buckets,
  }: About & { labels: string[]; buckets: number[] }): (labels: Labels, seconds: number) => void {
    const histogram =
      this.histograms.get(name) ??
      new Histogram({ name, help, labelNames: labels, buckets, registers: [this.registry] });
    this.histograms.set(name, histogram);
    return (given, seconds) => {
      histogram.observe(given, seconds);
    };
  }

  /** A part of this process that may end before it: what it counts is counted here, too. */
  part(): Metrics {
    const part = new Metrics();
    this.parts.add(part);
    return part;
  }

  /** A part has ended: its counts stay, its gauges are of the past. */
  async retire(part: Metrics): Promise<void> {
    const counted = await part.snapshot();
    this.retired = countsOf([this.retired, counted]);
    this.parts.delete(part);
  }

  /** What was counted, for another process. */
  async snapshot(): Promise<Snapshot> {
    const parts = await Promise.all([...this.parts].map((part) => part.snapshot()));
    return merged([await this.own(), this.retired, ...parts]);
  }

  private async own(): Promise<Snapshot> {
    const own = await this.registry.getMetricsAsJSON();
    const read = this.readings.map(({ name, help, type, labels = {}, aggregator = 'sum', read: value }) => ({
      ...{ name, help, type, aggregator },
      values: [{ value: value(), labels }],
    }));
    // What is no number yet does not go through JSON.
    const finite = [...own, ...read].map((metric) => ({
      ...metric,
      values: metric.values.filter(({ value }) => Number.isFinite(value)),
    }));
    return snapshot.parse(finite);
  }

  /** Everything, in Prometheus' text format. */
  async text(): Promise<string> {
    return textOf([await this.snapshot()]);
  }
}
