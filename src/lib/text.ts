/**
 * The first `length` code points of a text. `slice` counts UTF-16 units: it can end between the two halves of an emoji,
 * and half of one has no UTF-8 form, so the readers of our JSON fail on it.
 */
export function truncated(text: string, length: number): string {
  if (text.length <= length) return text;
  // Twice as many units hold at least `length` whole code points.
  return Array.from(text.slice(0, 2 * length))
    .slice(0, length)
    .join('');
}

/**
 * The text of a request header. Node decodes headers as latin1, but hosts write UTF-8: without this, a name becomes
 * mojibake, and a cut lands inside of its characters. A header that is not UTF-8 stays as Node decoded it.
 */
export function headerText(value: string): string {
  if (!/[\x80-\xff]/.test(value)) return value;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(value, 'latin1'));
  } catch {
    return value;
  }
}
