export type UpstreamFailure =
  | 'unreachable' // no connection, or it broke before a reply was there
  | 'timeout' // the deadline of the host's request passed
  | 'status' // a reply, but a bad one; a 4xx only if Prefect itself wrote it, or if its status says enough (401, 403, 429)
  | 'shape' // a reply that is not Prefect's, whatever its status
  | 'too_large' // a reply longer than PREFECT_API_MAX_REPLY_BYTES
  | 'overloaded' // too many calls of ours are waiting already
  | 'breaker'; // the orchestrator failed too often in a row: not asked at all

export interface UpstreamErrorDetails {
  status?: number;
  /** The orchestrator's body, only for replies that hosts get as they are; never logged. */
  text?: string;
  /** What the orchestrator says was wrong, without its echo of the request. */
  explanation?: unknown;
  /** The body was somebody else's: a gateway's 503 says nothing about what Prefect did. */
  isForeign?: boolean;
  retryAfterSeconds?: number | undefined;
  /** False where the request certainly never left: then even an unsafe call may be repeated. */
  sent?: boolean;
  cause?: unknown;
}

/** A call to the orchestrator failed. The message is safe to log: it holds no part of any body. */
export class UpstreamError extends Error {
  constructor(
    readonly failure: UpstreamFailure,
    readonly details: UpstreamErrorDetails = {},
  ) {
    super(`orchestrator: ${failure}${details.status === undefined ? '' : ` ${details.status}`}`, {
      cause: details.cause,
    });
  }

  get status(): number | undefined {
    return this.details.status;
  }

  /** Whether Prefect itself answered with this status; a page of something in between does not count. */
  answered(status: number): boolean {
    return this.failure === 'status' && this.status === status && this.details.isForeign !== true;
  }

  /** Prefect itself says that the thing does not exist. */
  get isNotFound(): boolean {
    return this.answered(404);
  }

  /** Prefect itself says that it conflicts with something that exists. */
  get isConflict(): boolean {
    return this.answered(409);
  }
}

/** A 2xx that is not what Prefect sends on that route. */
export class ShapeError extends Error {}
