import { closeSync, constants, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isatty } from 'node:tty';

const STANDARD = [0, 1, 2];
/** In milliseconds: with some terminals the hang-up signal comes a moment before the terminal is taken away. */
const MOMENT_MS = 200;

/**
 * The terminal that this process was started at, if any. What has none of its standard streams at one (a service, or
 * `nohup`) is not bound to a terminal, even if there is one.
 */
export class Terminal {
  private readonly streams = STANDARD.filter((fd) => isatty(fd));
  private readonly wasControlled = isControlled();

  /** Whether it was closed: SIGHUP says that then, and asks for a reload otherwise. */
  async isClosed(): Promise<boolean> {
    if (this.streams.length === 0) return false;
    if (this.isGone()) return true;
    await sleep(MOMENT_MS);
    return this.isGone();
  }

  private isGone(): boolean {
    return this.streams.some((fd) => !isatty(fd)) || (this.wasControlled && !isControlled());
  }
}

function isControlled(): boolean {
  try {
    closeSync(openSync('/dev/tty', constants.O_RDONLY | constants.O_NOCTTY | constants.O_NONBLOCK));
    return true;
  } catch {
    return false;
  }
}
