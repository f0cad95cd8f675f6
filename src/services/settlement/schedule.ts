/** Seconds between attempts at telling the host; after the last one the delivery is dead. */
const DELAYS = [5, 30, 120, 600, 1_800, 3_600, 7_200, 18_000, 36_000, 36_000];
const JITTER = 0.2;
/** A wrong key is not mended within seconds, and a host that says no that often may lock us out. */
const REFUSED_DELAY = 600;

export interface Failure {
  /** The host did not accept the key or the message (400, 401, 403). */
  refused: boolean;
  /** Seconds that the host asked to wait. */
  retryAfterSeconds?: number | undefined;
}

/**
 * Seconds until the next attempt; undefined where there is none any more.
 * @param attempts how many have failed, at least 1
 * @param random between 0 and 1
 */
export function nextDelay(
  attempts: number,
  { refused, retryAfterSeconds = 0 }: Failure,
  random = Math.random(),
): number | undefined {
  const delay = DELAYS[attempts - 1];
  if (delay === undefined) return undefined;
  const slow = refused ? Math.max(delay, REFUSED_DELAY) : delay;
  return Math.max(slow * (1 + JITTER * (2 * random - 1)), retryAfterSeconds);
}
