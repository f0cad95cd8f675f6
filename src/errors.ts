/** Every error that leaves the service has one of these codes; this table is the only place that knows statuses. */
export const ERROR_STATUS = {
  bad_request: 400,
  unauthorized: 401,
  /** A web page of another origin asks. */
  cross_origin: 403,
  /** A route that is switched off by a setting. */
  forbidden: 403,
  not_found: 404,
  method_not_allowed: 405,
  /** The request did not come in time. */
  request_timeout: 408,
  conflict: 409,
  body_too_large: 413,
  uri_too_long: 414,
  expectation_failed: 417,
  /** The `Host` names something that this service does not answer to. */
  unknown_host: 421,
  validation_failed: 422,
  headers_too_large: 431,
  /** The host hung up within its request; nobody reads this reply. */
  client_gone: 499,
  internal: 500,
  orchestrator_failed: 502,
  orchestrator_refused_credentials: 502,
  orchestrator_unavailable: 503,
  /** A route that needs a setting which is not there. */
  not_configured: 503,
  /** More requests than this process takes on at once. */
  overloaded: 503,
  /** This service ends, or a worker of it. */
  shutting_down: 503,
  orchestrator_timeout: 504,
} as const;

export type ErrorCode = keyof typeof ERROR_STATUS;

/** One entry of a FastAPI-shaped validation error. */
export interface ValidationDetail {
  type: string;
  loc: (string | number)[];
  msg: string;
  input: unknown;
}

export interface AppErrorOptions {
  /** The orchestrator's own explanation, already without any echo of the request. */
  upstream?: unknown;
  retryAfterSeconds?: number;
  headers?: Record<string, string>;
  cause?: unknown;
}

/** The one error that routes and services throw: a code, the contract's `detail`, and what goes beside it. */
export class AppError extends Error {
  constructor(
    readonly code: ErrorCode,
    readonly detail: string | ValidationDetail[],
    readonly options: AppErrorOptions = {},
  ) {
    super(code, { cause: options.cause });
  }
}

export interface ErrorReply {
  status: (typeof ERROR_STATUS)[ErrorCode];
  headers: Record<string, string>;
  body: { detail: string | ValidationDetail[]; code: ErrorCode; request_id: string; upstream?: unknown };
}

/** Makes every error body of the service. What is no AppError is a 500 whose text stays in the log. */
export function errorReply(error: unknown, requestId: string): ErrorReply {
  const known = error instanceof AppError ? error : new AppError('internal', 'Internal Server Error');
  const { upstream, retryAfterSeconds, headers } = known.options;
  return {
    status: ERROR_STATUS[known.code],
    headers: {
      ...headers,
      ...(retryAfterSeconds === undefined ? {} : { 'retry-after': String(Math.ceil(retryAfterSeconds)) }),
    },
    body: {
      detail: known.detail,
      code: known.code,
      request_id: requestId,
      ...(upstream === undefined ? {} : { upstream }),
    },
  };
}
