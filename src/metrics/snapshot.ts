import { AggregatorRegistry } from 'prom-client';
import { z } from 'zod';

/** What one process has counted, as it goes from one process to another. */
export const snapshot = z.array(
  z.object({
    name: z.string(),
    help: z.string(),
    type: z.enum(['counter', 'gauge', 'histogram', 'summary']),
    /** How the values of several processes make one. */
    aggregator: z.enum(['sum', 'max', 'min', 'average', 'first', 'omit']),
    values: z.array(
      z.object({
        value: z.number(),
        labels: z.record(z.string(), z.union([z.string(), z.number()])),
        metricName: z.string().optional(),
      }),
    ),
  }),
);
export type Snapshot = z.infer<typeof snapshot>;

/** The snapshots of several processes as one, in Prometheus' text format. */
export function textOf(snapshots: readonly Snapshot[]): Promise<string> {
  return AggregatorRegistry.aggregate([...snapshots]).metrics();
}

/** Several snapshots as one. */
export function merged(snapshots: readonly Snapshot[]): Snapshot {
  return snapshot.parse(AggregatorRegistry.aggregate([...snapshots]).getMetricsAsArray());
}

/**
 * What ended or silent processes have counted: without it a sum would fall, which Prometheus takes for a restart of
 * everything. Their gauges are of the past.
 */
export function countsOf(snapshots: readonly Snapshot[]): Snapshot {
  const counts = snapshots.map((one) => one.filter(({ type }) => type === 'counter' || type === 'histogram'));
  return merged(counts);
}
