import { AppError, type AppErrorOptions, type ErrorCode } from '../errors.js';
import { UpstreamError } from '../prefect/errors.js';

/** The contract's `detail` of a route; `own text` is what the orchestrator said, as hosts read it on deletions. */
export type Failure = string | ((path: Record<string, string>) => string) | { ownText: string };

/** Turns what a handler threw into the contract's error: its status by what happened, its `detail` by the route. */
export function failureOf(error: unknown, failure: Failure, path: Record<string, string>): unknown {
  if (error instanceof AppError && error.code === 'not_found' && error.detail === 'Not Found') {
    return new AppError('not_found', detailOf(failure, path, '{"detail":"Not Found"}'));
  }
  if (!(error instanceof UpstreamError)) return error;
  const { code, options } = verdict(error);
  const ownText = code === 'not_found' || code === 'conflict' ? error.details.text : undefined;
  return new AppError(code, detailOf(failure, path, ownText), { ...options, cause: error });
}

/** The contract's `detail`. @param ownText what the orchestrator said */
export function detailOf(
  failure: Failure,
  path: Record<string, string>,
  ownText: string | undefined,
): string {
  if (typeof failure === 'string') return failure;
  return typeof failure === 'function' ? failure(path) : (ownText ?? failure.ownText);
}

/** The status policy: a host deletes its row on a 4xx, so an outage is never one. */
function verdict(error: UpstreamError): { code: ErrorCode; options: AppErrorOptions } {
  const { status, explanation: upstream, retryAfterSeconds = 2 } = error.details;
  switch (error.failure) {
    case 'timeout':
      return { code: 'orchestrator_timeout', options: {} };
    case 'overloaded':
      return { code: 'overloaded', options: { retryAfterSeconds } };
    case 'unreachable':
    case 'breaker':
      return { code: 'orchestrator_unavailable', options: { retryAfterSeconds } };
    case 'too_large':
      return { code: 'orchestrator_failed', options: { upstream: TOO_LARGE } };
    case 'shape':
      return { code: 'orchestrator_failed', options: {} };
    case 'status':
      break;
  }
  if (status === 404) return { code: 'not_found', options: { upstream } };
  if (status === 409) return { code: 'conflict', options: { upstream } };
  if (status === 401 || status === 403) return { code: 'orchestrator_refused_credentials', options: {} };
  if (status === 429 || status === 503)
    return { code: 'orchestrator_unavailable', options: { upstream, retryAfterSeconds } };
  if (status === 400 || status === 422) return { code: 'bad_request', options: { upstream } };
  return { code: 'orchestrator_failed', options: {} };
}

const TOO_LARGE = 'its reply is larger than PREFECT_API_MAX_REPLY_BYTES allows: ask for less at once';
