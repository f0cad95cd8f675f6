import { UpstreamError } from './errors.js';

/**
 * How often a call may be repeated is a property of the route, not of its method (most of Prefect's reads are POST):
 * - read: changes nothing
 * - idempotent: doing it twice is doing it once (upserts, PATCH with values, DELETE, creation with an idempotency key)
 * - create: twice would be refused or made twice, but a 503 says that nothing was made
 * - unsafe: may not be repeated once it was sent (`set_state`)
 */
export type RetryClass = 'read' | 'idempotent' | 'create' | 'unsafe';

const MAX_DELAY_SECONDS = 4;
const MAX_RETRY_AFTER_SECONDS = 3600;

/** What is no reply of Prefect is mostly the same the next time. */
const SHAPE_RETRIES = 2;

/** Whether a failed call may be sent again. Each line is one rule. @param attempt how often it was repeated already */
export function shouldRetry(error: UpstreamError, retry: RetryClass, attempt: number): boolean {
  const isRepeatable = retry === 'read' || retry === 'idempotent';
  if (error.failure === 'unreachable') return isRepeatable || error.details.sent === false;
  // A reply that is no JSON or was cut: the next one may be whole.
  if (error.failure === 'shape') return retry === 'read' && attempt < SHAPE_RETRIES;
  if (error.failure !== 'status' || error.status === undefined) return false;
  // 429: it was not even looked at.
  if (error.status === 429) return true;
  // 503 is what SQLite's "database is locked" looks like: routine, and rolled back. A gateway's own may come after the fact.
  if (error.status === 503) return isRepeatable || (retry === 'create' && error.answered(503));
  // 500 is a bug that the same request meets again; 502 and 504 come from something in between.
  return isRepeatable && (error.status === 502 || error.status === 504);
}

/**
 * Whether a call that failed may have been executed all the same: only its reply was lost, on the way or in a gateway.
 * After one of these a deletion that finds nothing has done its work; after a 503 or a 429 it has not.
 */
export function mayHaveHappened({ failure, status, details }: UpstreamError): boolean {
  if (failure === 'unreachable' || failure === 'timeout') return details.sent !== false;
  return failure === 'status' && (status === 502 || status === 504);
}

/**
 * Seconds to wait before the next attempt: exponential with full jitter, and not before what the orchestrator asked for.
 * @param attempt 0 for the first repetition
 */
export function retryDelay(error: UpstreamError, attempt: number, baseSeconds: number): number {
  const backOff = Math.random() * Math.min(MAX_DELAY_SECONDS, baseSeconds * 2 ** attempt);
  return Math.max(backOff, error.details.retryAfterSeconds ?? 0);
}

/** Seconds of a Retry-After header, given as seconds or as a date. */
export function parseRetryAfter(value: string | undefined, now = Date.now()): number | undefined {
  if (!value) return undefined;
  if (/^\d+$/.test(value)) return Math.min(Number(value), MAX_RETRY_AFTER_SECONDS);
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.min(Math.max(0, (date - now) / 1000), MAX_RETRY_AFTER_SECONDS);
}
