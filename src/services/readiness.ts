import type { PrefectClient } from '../prefect/client.js';
import { isCertificateProblem } from '../lib/outbound.js';
import { UpstreamError } from '../prefect/errors.js';
import { probe } from '../prefect/work-pools.js';

export interface ReadinessOptions {
  client: PrefectClient;
  /** Aborted when the service is to get no new requests. */
  draining?: AbortSignal | undefined;
}

/** How long an answer counts, and how long the orchestrator may take. */
const FRESH_MS = 3_000;
const LIMIT_SECONDS = 2;

/** Whether requests can be served: asks the orchestrator, at most once in a while however many want to know. */
export class Readiness {
  private asked: Promise<string | undefined> | undefined;
  private askedAt = 0;

  constructor(private readonly options: ReadinessOptions) {}

  /** Why requests cannot be served, in words that hold no address and no secret; none: they can. Never fails. */
  async reasons(): Promise<string[]> {
    const { client, draining } = this.options;
    if (draining?.aborted) return ['this facade is about to end'];
    // Once it opened, what was heard before does not count.
    const isFresh = performance.now() - this.askedAt < FRESH_MS && !client.numbers.isBreakerOpen;
    if (!this.asked || !isFresh) {
      this.askedAt = performance.now();
      this.asked = ask(client);
    }
    const reason = await this.asked;
    return reason === undefined ? [] : [reason];
  }
}

/** By itself it closes a breaker again: whoever is not ready may get no other requests. */
async function ask(client: PrefectClient): Promise<string | undefined> {
  try {
    await probe(client.session({ timeoutSeconds: LIMIT_SECONDS, priority: 'high' }));
    return undefined;
  } catch (error) {
    return wordsFor(error);
  }
}

function wordsFor(error: unknown): string {
  if (!(error instanceof UpstreamError)) return 'the orchestrator could not be asked';
  const { failure, status } = error;
  if (failure === 'status' && (status === 401 || status === 403)) {
    return 'the orchestrator refuses our credentials: PREFECT_API_KEY, PREFECT_API_AUTH_STRING or the login in PREFECT_API_URL';
  }
  const code = error.cause instanceof Error && 'code' in error.cause ? String(error.cause.code) : undefined;
  if (isCertificateProblem(code)) return `the certificate of the orchestrator is not accepted: ${code}`;
  if (status === 407 || code === 'PROXY_407')
    return 'the proxy to the orchestrator refuses our credentials: 407';
  return { ...WORDS, status: `the orchestrator answers ${status ?? 'badly'}` }[failure];
}

const WORDS = {
  unreachable: 'the orchestrator cannot be reached',
  timeout: `the orchestrator did not answer within ${LIMIT_SECONDS} seconds`,
  shape: 'what answers at PREFECT_API_URL is no orchestrator',
  too_large: 'a reply of the orchestrator is larger than PREFECT_API_MAX_REPLY_BYTES',
  overloaded: 'too many calls to the orchestrator are waiting',
  breaker: 'the orchestrator failed too often in a row: it is left alone for some seconds',
};
