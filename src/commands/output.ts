import { inspect } from 'node:util';
import { printableLines } from '../lib/printable.js';
import { lineWriters } from '../process/local/progress.js';

/** As a shell reports a program that a closed pipe ended: 128 and the number of SIGPIPE. */
const CLOSED_PIPE = 141;

/**
 * Makes what a command writes with. A command whose output cannot be written has failed and ends: quietly where its
 * reader has left (`| head`), else with the reason.
 */
export function commandOutput(): ReturnType<typeof lineWriters> {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(CLOSED_PIPE);
    complain(`the output cannot be written: ${error.message}`);
    process.exit(1);
  });
  return lineWriters((text) => void process.stdout.write(text));
}

/** Writes to stderr, where that is possible. */
export function complain(text: string): void {
  process.stderr.write(`${printableLines(text)}\n`);
}

/**
 * Makes errors safe for a terminal, and a stderr that cannot be written no reason to end. An uncaught error ends the
 * process as without this; another listener (error reports) goes first, and throws it again when it is done.
 */
export function guardStderr(): void {
  process.stderr.on('error', () => undefined);
  process.on('uncaughtException', (error) => {
    if (process.listenerCount('uncaughtException') > 1) return;
    complain(`Uncaught ${inspect(error)}`);
    process.exit(1);
  });
}
