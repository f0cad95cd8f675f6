import { vi } from 'vitest';

const realImmediate = globalThis.setImmediate;

/** Time stands still from here, until it is told to pass. Sockets are not part of it. */
export function stopTime(): void {
  vi.useFakeTimers({
    toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate', 'Date', 'performance'],
  });
}

/** Lets time pass: what is due happens one after the other, each with all that follows from it in memory. */
export async function pass(seconds: number): Promise<void> {
  const until = { isOver: false };
  setTimeout(() => {
    until.isOver = true;
  }, seconds * 1000);
  while (!until.isOver) {
    vi.advanceTimersToNextTimer();
    await new Promise<void>((resolve) => realImmediate(resolve));
  }
}
