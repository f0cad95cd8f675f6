import type { HostWebhookOptions } from '../host/webhook.js';
import type { Reconciler } from '../services/settlement/reconciler.js';
import type { Settlement, SettlementDeps } from '../services/settlement/settlement.js';
import type { Metrics } from './metrics.js';
import { classOf } from './serving.js';

/** In seconds: from a host that is told at once to one that was down for a day. */
const DELIVERY_BUCKETS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 30, 60, 300, 1_800, 7_200, 43_200, 172_800];
const HOST_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Adds how long it takes until a host has heard. @returns what is told of each first delivery */
export function deliveryMetrics(metrics: Metrics): NonNullable<SettlementDeps['onDelivered']> {
  const time = metrics.times({
    name: 'prefect_proxy_delivery_latency_seconds',
    help: "From the time of a run's terminal state to the host's 2xx; replays are not in it",
    labels: [],
    buckets: DELIVERY_BUCKETS,
  });
  return (seconds) => {
    // Our clock and the orchestrator's need not agree.
    time({}, Math.max(seconds, 0));
  };
}

/** Adds the host's answers. @returns what is told of each attempt */
export function attemptMetrics(metrics: Metrics): NonNullable<HostWebhookOptions['onAttempt']> {
  const count = metrics.counter({
    name: 'prefect_proxy_delivery_attempts_total',
    help: 'Attempts at telling the host, by its answer: the class of the status, `timeout` or `unreachable`',
    labels: ['answer'],
  });
  const time = metrics.times({
    name: 'prefect_proxy_delivery_attempt_duration_seconds',
    help: 'How long attempts at telling the host took',
    labels: [],
    buckets: HOST_BUCKETS,
  });
  return ({ last }, milliseconds) => {
    count({ answer: answerOf(last) });
    time({}, milliseconds / 1000);
  };
}

function answerOf(last: string): string {
  const status = Number(last);
  if (Number.isInteger(status)) return classOf(status);
  return last === 'timeout' ? 'timeout' : 'unreachable';
}

/** Adds how far the settlement of runs is. */
export function readSettlement(metrics: Metrics, settlement: Settlement): void {
  const count = (name: string, help: string, read: () => number) => {
    metrics.read({ name: `prefect_proxy_${name}_total`, help, type: 'counter', read });
  };
  const gauge = (name: string, help: string, read: () => number) => {
    metrics.read({ name: `prefect_proxy_${name}`, help, type: 'gauge', read });
  };
  const telling = () => settlement.numbers.telling;
  const cleaning = () => settlement.numbers.cleaning;
  count('settled_ends', 'Ends of runs that the host knows of', () => telling().settled);
  count('deliveries', 'Ends of runs that the host was told of', () => telling().delivered);
  count('delivery_failures', 'Attempts at telling the host that failed', () => telling().failedAttempts);
  count('deliveries_dead', 'Deliveries that were given up', () => telling().dead);
  count(
    'deliveries_from_reports',
    'Ends of runs that could not be read, delivered from what was reported of them',
    () => telling().fromReports,
  );
  count(
    'ends_unknown',
    'Ends of runs that could not be delivered: the run is gone, and nothing is known of it',
    () => telling().unknown,
  );
  gauge('deliveries_pending', 'Ends of runs that the host is still to be told of', () => telling().runs);
  gauge(
    'delivery_oldest_pending_seconds',
    'Time since the earliest end that the host is still to be told of',
    () => secondsSince(telling().since),
  );
  count('cleanups', 'Runs that were cleaned up after', () => cleaning().done);
  count('cleanup_failures', 'Attempts at cleaning up that failed', () => cleaning().failedAttempts);
  gauge('cleanups_pending', 'Runs that are still to be cleaned up after', () => cleaning().runs);
}

/** Adds the sweeps, and whether this instance leads. */
export function readReconciler(metrics: Metrics, reconciler: Reconciler): void {
  const { counts } = reconciler;
  const sweeps = {
    name: 'prefect_proxy_sweeps_total',
    help: 'Sweeps for runs that have ended',
    type: 'counter',
  } as const;
  metrics.read({ ...sweeps, labels: { outcome: 'done' }, read: () => counts.sweeps });
  metrics.read({ ...sweeps, labels: { outcome: 'failed' }, read: () => counts.failures });
  metrics.read({
    name: 'prefect_proxy_last_sweep_timestamp_seconds',
    help: 'When the last sweep came to its end, as Unix time',
    type: 'gauge',
    read: () => counts.lastEpochSeconds,
  });
  metrics.read({
    name: 'prefect_proxy_last_sweep_duration_seconds',
    help: 'How long the last sweep took',
    type: 'gauge',
    read: () => counts.lastSeconds,
  });
  metrics.read({
    name: 'prefect_proxy_reconciler_leader',
    help: '1 where this instance is the one that sweeps',
    type: 'gauge',
    read: () => Number(reconciler.leads),
  });
  metrics.read({
    name: 'prefect_proxy_delivery_standby',
    help: '1 while this instance delivers nothing, because another one delivers to another URL under the same host name',
    type: 'gauge',
    read: () => Number(reconciler.standsBy),
  });
}

function secondsSince(iso: string | undefined): number {
  return iso === undefined ? 0 : Math.max(0, (Date.now() - Date.parse(iso)) / 1000);
}
