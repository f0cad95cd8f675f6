import { setTimeout as sleep } from 'node:timers/promises';
import { UpstreamError } from '../prefect/errors.js';

/** Somebody else changed what was read before it was written. */
export class Overtaken extends Error {}

const ATTEMPTS = 5;
const PAUSE_MS = 100;

/**
 * Does work that reads something and writes by what it read, and does it again with a fresh read if it was overtaken.
 * @throws UpstreamError 409 where it is overtaken again and again; what the work throws
 */
export async function onFreshRead(work: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await work();
      return;
    } catch (error) {
      if (!(error instanceof Overtaken)) throw error;
      if (attempt === ATTEMPTS) throw new UpstreamError('status', { status: 409, explanation: CONFLICT });
    }
    await sleep(Math.random() * PAUSE_MS * attempt);
  }
}

const CONFLICT = 'somebody else changes it at the same time: try again';
