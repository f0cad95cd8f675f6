import type { Doors } from '../http/doors.js';
import type { FinishedRequest } from '../http/served.js';
import type { RelayingLogger } from '../logger.js';
import type { PrefectClient, PrefectClientOptions } from '../prefect/client.js';
import { UpstreamError } from '../prefect/errors.js';
import type { EventStream } from '../prefect/event-stream.js';
import type { RunWatch } from '../services/follow/run-watch.js';
import type { RunPoller } from '../services/poll.js';
import type { Metrics } from './metrics.js';

/** In seconds: from what is answered from memory to what waits as long as it may. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'];

/** Adds the requests of hosts. @returns what is told of each one that is over */
export function requestMetrics(metrics: Metrics): (request: FinishedRequest) => void {
  const count = metrics.counter({
    name: 'prefect_proxy_requests_total',
    help: 'Requests of hosts, by the pattern of their route',
    labels: ['method', 'route', 'status'],
  });
  const time = metrics.times({
    name: 'prefect_proxy_request_duration_seconds',
    help: 'Time until a request was answered; event streams are not in it',
    labels: ['method', 'route'],
    buckets: BUCKETS,
  });
  return ({ method: given, route, status, milliseconds, isStream }) => {
    const method = METHODS.includes(given) ? given : 'other';
    count({ method, route, status });
    if (!isStream) time({ method, route }, milliseconds / 1000);
  };
}

/** Adds the calls to the orchestrator. @returns what is told of each one that is over */
export function callMetrics(metrics: Metrics): NonNullable<PrefectClientOptions['onCall']> {
  const count = metrics.counter({
    name: 'prefect_proxy_upstream_calls_total',
    help: 'Calls to the orchestrator, by their path without its values; outcome: the class of the status, or what failed',
    labels: ['method', 'path', 'outcome'],
  });
  const time = metrics.times({
    name: 'prefect_proxy_upstream_call_duration_seconds',
    help: 'Time of calls to the orchestrator that were sent, waiting for a connection included',
    labels: ['method', 'path'],
    buckets: BUCKETS,
  });
  const repeat = metrics.counter({
    name: 'prefect_proxy_upstream_retries_total',
    help: 'Calls to the orchestrator that repeated one that had failed',
    labels: [],
  });
  return ({ method, template, attempt, milliseconds, error }) => {
    const outcome = outcomeOf(error);
    count({ method, path: template, outcome });
    if (attempt > 0) repeat({});
    if (!NOT_SENT.includes(outcome)) time({ method, path: template }, milliseconds / 1000);
  };
}

const NOT_SENT = ['breaker', 'overloaded'];

function outcomeOf(error: unknown): string {
  if (error === undefined) return '2xx';
  if (!(error instanceof UpstreamError)) return 'error';
  const { failure, status } = error;
  return failure === 'status' && status !== undefined ? classOf(status) : failure;
}

/** `2xx` for 204. */
export function classOf(status: number): string {
  return `${Math.floor(status / 100)}xx`;
}

/** Adds that this process serves. */
export function readServer(metrics: Metrics): void {
  metrics.read({
    name: 'prefect_proxy_workers_answering',
    help: 'Processes that serve and whose numbers are in this text',
    type: 'gauge',
    read: () => 1,
  });
}

/** Adds the log lines that were lost. */
export function readLog(metrics: Metrics, logger: RelayingLogger): void {
  for (const place of ['console', 'file', 'stderr'] as const) {
    metrics.read({
      name: 'prefect_proxy_log_lines_dropped_total',
      help: 'Log lines that were dropped: their place could not be written, or took them too slowly',
      type: 'counter',
      labels: { place },
      read: () => logger.dropped(place),
    });
  }
}

/** Adds what a client is doing. */
export function readClient(metrics: Metrics, client: PrefectClient): void {
  metrics.read({
    name: 'prefect_proxy_upstream_calls_running',
    help: 'Calls to the orchestrator that are under way on a connection',
    type: 'gauge',
    read: () => client.numbers.running,
  });
  metrics.read({
    name: 'prefect_proxy_upstream_calls_waiting',
    help: 'Calls to the orchestrator that wait for a connection',
    type: 'gauge',
    read: () => client.numbers.waiting,
  });
  metrics.read({
    name: 'prefect_proxy_upstream_breaker_open',
    help: '1 while a process leaves the orchestrator alone, because it failed too often in a row',
    type: 'gauge',
    aggregator: 'max',
    read: () => Number(client.numbers.isBreakerOpen),
  });
  metrics.read({
    name: 'prefect_proxy_upstream_breaker_openings_total',
    help: 'How often a breaker has opened',
    type: 'counter',
    read: () => client.numbers.breakerOpenings,
  });
}

/** Adds how many requests are under way, wait for their turn and were sent away. */
export function readDoors(metrics: Metrics, doors: Doors): void {
  const gauge = (name: string, help: string, read: () => number) => {
    metrics.read({ name: `prefect_proxy_${name}`, help, type: 'gauge', read });
  };
  gauge('requests_in_flight', 'Requests that are worked on', () => doors.numbers.underWay);
  gauge('requests_queued', 'Requests that wait for their turn', () => doors.numbers.waiting);
  gauge('long_requests_in_flight', 'Requests that wait for runs', () => doors.numbers.longWaits);
  metrics.read({
    name: 'prefect_proxy_requests_refused_total',
    help: 'Requests that were sent away: too many at once',
    type: 'counter',
    read: () => doors.numbers.refused,
  });
}

/** Adds polls and the calls that they came to. */
export function readPolls(metrics: Metrics, { counts }: RunPoller): void {
  metrics.read({
    name: 'prefect_proxy_polls_total',
    help: 'Reads of single runs that were asked for',
    type: 'counter',
    read: () => counts.polls,
  });
  metrics.read({
    name: 'prefect_proxy_poll_upstream_calls_total',
    help: 'Calls to the orchestrator that these reads came to: fewer where several shared one',
    type: 'counter',
    read: () => counts.calls,
  });
}

/** Adds those who wait for runs. */
export function readWatch(metrics: Metrics, watch: RunWatch): void {
  metrics.read({
    name: 'prefect_proxy_waiters',
    help: 'Requests that wait for a run to go on',
    type: 'gauge',
    read: () => watch.numbers.waiters,
  });
  metrics.read({
    name: 'prefect_proxy_watched_runs',
    help: 'Runs that requests wait for',
    type: 'gauge',
    read: () => watch.numbers.runs,
  });
}

/** Adds a connection to the orchestrator's events. */
export function readEventStream(
  metrics: Metrics,
  { numbers }: EventStream,
  purpose: 'waiting' | 'settlement',
): void {
  const labels = { purpose };
  metrics.read({
    name: 'prefect_proxy_event_streams_open',
    help: "Open connections to the orchestrator's events",
    type: 'gauge',
    labels,
    read: () => Number(numbers.isOpen),
  });
  metrics.read({
    name: 'prefect_proxy_event_stream_connections_total',
    help: "Connections to the orchestrator's events that were made",
    type: 'counter',
    labels,
    read: () => numbers.connections,
  });
  metrics.read({
    name: 'prefect_proxy_event_stream_losses_total',
    help: "Connections to the orchestrator's events that were lost or could not be made",
    type: 'counter',
    labels,
    read: () => numbers.losses,
  });
}

/** Adds what the orchestrator's webhook has sent. */
export function readNotifications(
  metrics: Metrics,
  counts: { understood: number; notUnderstood: number },
): void {
  const about = {
    name: 'prefect_proxy_webhook_notifications_total',
    help: "Notifications of the orchestrator's webhook with a valid key",
    type: 'counter',
  } as const;
  metrics.read({ ...about, labels: { understood: 'true' }, read: () => counts.understood });
  metrics.read({ ...about, labels: { understood: 'false' }, read: () => counts.notUnderstood });
}
