/**
 * A JSON number that a JavaScript number would change (`1.0`, `1e5`, 19 digits): kept as its own text, because
 * run parameters belong to the host and Python tells 1 from 1.0. Everything else is a plain number.
 */
export class ExactNumber {
  constructor(readonly text: string) {}

  /** JSON.stringify cannot write a raw number on Node 20, so it is stopped here and the slow writer takes over. */
  toJSON(): never {
    throw new ExactNumberFound();
  }
}

/** Thrown by `JSON.stringify` when it meets an ExactNumber. */
export class ExactNumberFound extends Error {}

/** Reads the text of a JSON number. */
export function toNumber(text: string): number | ExactNumber {
  const value = Number(text);
  return String(value) === text ? value : new ExactNumber(text);
}

const INTEGER = /^-?\d+$/;
/** More characters than any integer of 64 bits has. */
const TOO_LONG = 21;
const LEAST = -(2n ** 63n);
const TOO_LARGE = 2n ** 64n;

/**
 * Whether Prefect can store a number: it answers 500 on every list that holds an integer beyond 64 bits.
 * A large number with a fraction or an exponent is one too: PostgreSQL writes 1e20 as an integer.
 */
export function isStorableNumber(value: number | ExactNumber): boolean {
  if (typeof value === 'number') return value >= LEAST && value < TOO_LARGE;
  const { text } = value;
  if (!INTEGER.test(text)) return isStorableNumber(Number(text));
  // BigInt takes seconds for a text of millions of digits.
  if (text.length >= TOO_LONG) return false;
  const integer = BigInt(text);
  return integer >= LEAST && integer < TOO_LARGE;
}
