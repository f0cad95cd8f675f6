import { AppError } from '../../errors.js';
import type { PrefectSession } from '../../prefect/client.js';
import { isGone, type Known, type RunWatch } from './run-watch.js';

export interface Waiting {
  timeoutMs: number;
  /** Aborted when the host hangs up. */
  gone: AbortSignal;
}

/**
 * Waits until a run has ended, its time is over or this service ends. What fails at the orchestrator in the meantime
 * does not end it.
 * @returns the run, ended or not
 * @throws UpstreamError where there is no such run, or where it could not be read when the time was over
 * @throws AppError where the host hung up, or where this service ends before the run was read
 */
export async function waitForEnd(
  watch: RunWatch,
  api: PrefectSession,
  id: string,
  { timeoutMs, gone }: Waiting,
): Promise<Known> {
  if (timeoutMs === 0) return watch.look(api, id);
  let wake: () => void = () => undefined;
  const { run, release } = watch.watch(api, id, () => {
    wake();
  });
  const time = { isOver: false };
  const timer = setTimeout(() => {
    time.isOver = true;
    wake();
  }, timeoutMs);
  const onGone = () => {
    wake();
  };
  gone.addEventListener('abort', onGone, { once: true });
  try {
    for (;;) {
      const { known, failure } = run;
      const isOver = time.isOver || watch.isClosed;
      if (gone.aborted) throw new AppError('client_gone', 'The host hung up');
      if (failure !== undefined && (isOver || isGone(failure))) throw failure;
      if (failure === undefined && known && (isOver || known.isEnded)) return known;
      if (watch.isClosed) throw new AppError('shutting_down', ENDING, { retryAfterSeconds: 1 });
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    clearTimeout(timer);
    gone.removeEventListener('abort', onGone);
    release();
  }
}

const ENDING = 'This service is ending: ask again';
