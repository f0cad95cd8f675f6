import { printable } from '../../lib/printable.js';
import { truncated } from '../../lib/text.js';

/** Where people read how far it is. */
export interface Progress {
  /** A line that stays. */
  say(line: string): void;
  /** How much of something is done. */
  count(what: string, done: number, total: number): void;
}

/**
 * Progress from the two ways to write a line. With `update` (a terminal) a count is one line that replaces itself;
 * without, it is a line at each quarter.
 */
export function makeProgress(say: (line: string) => void, update?: (line: string) => void): Progress {
  let quarter = '';
  return {
    say,
    count(what, done, total) {
      const line = `${what}: ${done}/${total}`;
      if (update) {
        update(line);
        return;
      }
      const reached = `${what} ${Math.floor((done / total) * 4)}`;
      if (reached !== quarter) say(line);
      quarter = reached;
    },
  };
}

/** The writers for stdout: `say` for lines that stay, `update` on a terminal only. @param write takes text as it is */
export function lineWriters(write: (text: string) => void): {
  say: (line: string) => void;
  update?: (line: string) => void;
} {
  const { stdout } = process;
  if (!stdout.isTTY) {
    return {
      say: (line) => {
        write(`${printable(line)}\n`);
      },
    };
  }
  const clear = '\r\u001b[2K';
  return {
    say: (line) => {
      write(`${clear}${printable(line)}\n`);
    },
    update: (line) => {
      write(`${clear}${truncated(printable(line), stdout.columns - 1)}`);
    },
  };
}
