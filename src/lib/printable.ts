/** Control characters (C0, DEL, C1), halves of surrogate pairs, bidirectional controls, and the two other line ends. */
const UNSAFE = /[\p{Cc}\p{Cs}\p{Bidi_Control}\u2028\u2029]/gu;
const UNSAFE_BUT_LINE_END = /[\p{Cs}\p{Bidi_Control}\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029]/gu;
const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/**
 * Makes text from outside safe for a log line and for a terminal: what could end a line, move the cursor, change colours
 * or reorder what is read becomes an escape as JSON writes it, e.g. `\u009b`. Finished JSON stays the same JSON.
 */
export function printable(text: string): string {
  return text.replace(UNSAFE, escaped);
}

/** The same for text of several lines, whose line ends stay. */
export function printableLines(text: string): string {
  return text.replace(UNSAFE_BUT_LINE_END, escaped);
}

function escaped(character: string): string {
  return SHORT[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
