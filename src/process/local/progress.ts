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

/** The writers for a stream: `say` for lines that stay, `update` on a terminal only. */
export function lineWriters(stream: NodeJS.WriteStream): {
  say: (line: string) => void;
  update?: (line: string) => void;
} {
  if (!stream.isTTY) return { say: (line) => stream.write(`${line}\n`) };
  const clear = '\r\u001b[2K';
  return {
    say: (line) => stream.write(`${clear}${line}\n`),
    update: (line) => stream.write(`${clear}${truncated(line, stream.columns - 1)}`),
  };
}
