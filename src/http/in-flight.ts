import { AppError } from '../errors.js';

/** Retry-After, in seconds: another process or instance may serve at once. */
const AGAIN_SECONDS = 1;

/** The requests whose handlers work, so that they are answered, not cut, if the service ends before the handlers do. */
export class InFlight {
  private readonly pending = new Set<() => void>();
  private isOver = false;

  /** @throws AppError 503 where the service has ended: the request must not be begun */
  check(): void {
    if (this.isOver) throw endedBefore();
  }

  /**
   * What the work of a handler comes to.
   * @param method of the request
   * @throws AppError 503 as soon as `end` is called; the work itself goes on
   */
  untilEnd<T>(work: Promise<T>, method: string): Promise<T> {
    return new Promise((resolve, reject) => {
      const cut = () => {
        reject(method === 'GET' ? endedBefore() : endedMeanwhile());
      };
      this.pending.add(cut);
      work.then(
        (value) => {
          this.pending.delete(cut);
          resolve(value);
        },
        (error: unknown) => {
          this.pending.delete(cut);
          // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- as it was thrown
          reject(error);
        },
      );
    });
  }

  /** Answers all requests, and all that come from now on. */
  end(): void {
    this.isOver = true;
    for (const cut of [...this.pending]) cut();
  }
}

/** The answer to a request that changed nothing. */
export function endedBefore(): AppError {
  const detail = 'This service is ending; nothing was changed: ask again';
  return new AppError('shutting_down', detail, { retryAfterSeconds: AGAIN_SECONDS });
}

function endedMeanwhile(): AppError {
  const detail = 'This service is ending; the request was under way, and may have been carried out';
  return new AppError('shutting_down', detail, { retryAfterSeconds: AGAIN_SECONDS });
}
