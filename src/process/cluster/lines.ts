import type { Readable } from 'node:stream';

/** Passes on what a process writes, whole lines at a time and without the last line's end. */
export function relayLines(stream: Readable, relay: (lines: string) => void): void {
  let rest = '';
  stream.setEncoding('utf8');
  stream.on('data', (part: string) => {
    const text = rest + part;
    const end = text.lastIndexOf('\n');
    rest = text.slice(end + 1);
    if (end > 0) relay(text.slice(0, end));
  });
  stream.on('end', () => {
    if (rest !== '') relay(rest);
  });
}
