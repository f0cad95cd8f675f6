import { ExactNumber, isStorableNumber, toNumber } from './exact-number.js';

/** The text was no JSON. `offset` is the position of the first wrong character, if it is known. Holds none of the text. */
export class JsonSyntaxError extends Error {
  constructor(readonly offset = 0) {
    super('not valid JSON');
  }
}

/** A text or key that a database cannot store or that cannot be written as UTF-8. */
export class UnstorableTextError extends Error {
  /** @param path the keys and indexes that lead to the text, or to the object whose key it is */
  constructor(
    readonly reason: UnstorableReason,
    readonly path: (string | number)[],
  ) {
    super(reason);
  }
}

/** `nul`: it has a U+0000, which PostgreSQL does not store. `surrogate`: half of a surrogate pair, which is no UTF-8. */
export type UnstorableReason = 'nul' | 'surrogate';

/** @returns undefined for a text that every database stores */
export function unstorableReason(text: string): UnstorableReason | undefined {
  if (!text.isWellFormed()) return 'surrogate';
  return text.includes('\0') ? 'nul' : undefined;
}

export interface JsonReaderOptions {
  /** Objects and lists inside each other at most. */
  maxDepth: number;
  /** Refuse texts and keys that cannot be stored, and remember what holds numbers that cannot (`holdsUnstorableNumber`). */
  storable: boolean;
}

const VALUE = 0;
const VALUE_OR_END = 1;
const KEY = 2;
const KEY_OR_END = 3;
const COMMA_OR_END = 4;
const NOTHING = 5;

const QUOTE = 0x22;
const PLUS = 0x2b;
const COMMA = 0x2c;
const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const UPPER_E = 0x45;
const OPEN_LIST = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_LIST = 0x5d;
const LOWER_E = 0x65;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** Shorter texts are copied by V8; a longer slice would keep the whole JSON text in memory for as long as it lives. */
const SLICED_FROM = 13;
/** Digits of which every integer is a safe one. */
const SAFE_DIGITS = 15;

/** An object or list that is being read. */
interface Level {
  /** Undefined for a list. */
  object: Record<string, unknown> | undefined;
  /** Of the value that is being read, in an object. */
  key: string;
  /** Where the items of a list begin in the reader's `items`. */
  start: number;
  holdsUnstorable: boolean;
}

/** The levels of a body that a contract has free objects and lists on: the body itself and its fields. */
const REMEMBERED_LEVELS = 2;
const unstorable = new WeakSet<object>();

/**
 * Whether a body, or the value of one of its fields, holds a number that Prefect cannot store, at any depth. Known of
 * what a reader with `storable` made.
 */
export function holdsUnstorableNumber(value: object): boolean {
  return unstorable.has(value);
}

/**
 * Reads one JSON text, as a whole or bit by bit, so that a large one holds nothing up. Numbers that JavaScript would
 * change become ExactNumbers. It checks all that there is to check in the same pass and stops at the first fault. The
 * last of equal keys counts. It does not recurse, so that no depth overflows the stack.
 */
export class JsonReader {
  /** What was read, once `read` has returned true. */
  value: unknown;
  private at = 0;
  private expected = VALUE;
  /** The innermost last. */
  private readonly levels: Level[] = [];
  /** Items of the open lists, those of the innermost last: a list is made at its end, in its right size. */
  private readonly items: unknown[] = [];
  private itemCount = 0;

  constructor(
    private readonly text: string,
    private readonly options: JsonReaderOptions,
  ) {}

  /**
   * Reads on.
   * @param characters about how many; a single text or number is not interrupted
   * @returns whether it is done
   * @throws JsonSyntaxError also where it is too deep; UnstorableTextError
   */
  read(characters = Infinity): boolean {
    const stop = this.at + characters;
    for (;;) {
      const code = this.nextCode();
      if (this.expected === NOTHING) {
        if (this.at < this.text.length) throw new JsonSyntaxError(this.at);
        return true;
      }
      if (this.at >= stop) return false;
      this.readNext(code);
    }
  }

  private readNext(code: number): void {
    switch (this.expected) {
      case COMMA_OR_END:
        this.readSeparator(code);
        break;
      case KEY_OR_END:
        if (code === CLOSE_OBJECT) this.close();
        else this.readKey(code);
        break;
      case KEY:
        this.readKey(code);
        break;
      case VALUE_OR_END:
        if (code === CLOSE_LIST) this.close();
        else this.readValue(code);
        break;
      default:
        this.readValue(code);
    }
  }

  /** Skips white space. @returns the code of what follows; NaN at the end */
  private nextCode(): number {
    const { text } = this;
    for (;;) {
      const code = text.charCodeAt(this.at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return code;
      this.at += 1;
    }
  }

  private readSeparator(code: number): void {
    const isList = this.levels[this.levels.length - 1]?.object === undefined;
    if (code === COMMA) {
      this.at += 1;
      this.expected = isList ? VALUE : KEY;
    } else if (code === (isList ? CLOSE_LIST : CLOSE_OBJECT)) this.close();
    else throw new JsonSyntaxError(this.at);
  }

  private readKey(code: number): void {
    const level = this.levels[this.levels.length - 1];
    if (code !== QUOTE || !level) throw new JsonSyntaxError(this.at);
    level.key = this.readText(true);
    if (this.nextCode() !== COLON) throw new JsonSyntaxError(this.at);
    this.at += 1;
    this.expected = VALUE;
  }

  private readValue(code: number): void {
    if (code === QUOTE) this.add(this.readText(false));
    else if (code === OPEN_OBJECT) this.begin({});
    else if (code === OPEN_LIST) this.begin(undefined);
    else if (code === MINUS || (code >= ZERO && code <= NINE)) this.add(this.readNumber(code));
    else this.add(this.readLiteral());
  }

  private begin(object: Level['object']): void {
    if (this.levels.length >= this.options.maxDepth) throw new JsonSyntaxError(this.at);
    this.at += 1;
    this.levels.push({ object, key: '', start: this.itemCount, holdsUnstorable: false });
    this.expected = object ? KEY_OR_END : VALUE_OR_END;
  }

  private close(): void {
    this.at += 1;
    const level = this.levels.pop();
    if (!level) return;
    const value = level.object ?? this.items.slice(level.start, this.itemCount);
    this.itemCount = level.start;
    if (level.holdsUnstorable) this.remember(value);
    this.add(value);
  }

  private add(value: unknown): void {
    const level = this.levels[this.levels.length - 1];
    this.expected = COMMA_OR_END;
    if (level?.object) setKey(level.object, level.key, value);
    else if (level) this.items[this.itemCount++] = value;
    else {
      this.value = value;
      this.expected = NOTHING;
    }
  }

  private readText(isKey: boolean): string {
    const { text, at: start } = this;
    let hasEscape = false;
    let end = start + 1;
    for (let code = text.charCodeAt(end); code !== QUOTE; code = text.charCodeAt((end += 1))) {
      if (code === BACKSLASH) {
        hasEscape = true;
        end += 1;
      } else if (!(code >= 0x20)) throw new JsonSyntaxError(Math.min(end, text.length));
    }
    this.at = end + 1;
    if (!hasEscape && end - start <= SLICED_FROM) return text.slice(start + 1, end);
    const value = parseToken(text.slice(start, end + 1), start);
    // A text that was decoded from bytes gets half a surrogate pair or a U+0000 by an escape only.
    const reason = hasEscape && this.options.storable ? unstorableReason(value) : undefined;
    if (reason) throw new UnstorableTextError(reason, this.path(isKey));
    return value;
  }

  private readNumber(first: number): number | ExactNumber {
    const { text, at: start } = this;
    const digitsAt = first === MINUS ? start + 1 : start;
    let end = this.endOfDigits(digitsAt);
    // A zero stands alone.
    if (text.charCodeAt(digitsAt) === ZERO) end = digitsAt + 1;
    let isLarge = end - digitsAt > SAFE_DIGITS;
    let code = text.charCodeAt(end);
    if (!isLarge && code !== DOT && code !== LOWER_E && code !== UPPER_E) {
      this.at = end;
      const integer = Number(text.slice(start, end));
      return integer === 0 && first === MINUS ? new ExactNumber('-0') : integer;
    }
    let isExact = false;
    if (code === DOT) {
      end = this.endOfDigits(end + 1);
      isExact = text.charCodeAt(end - 1) === ZERO;
      code = text.charCodeAt(end);
    }
    if (code === LOWER_E || code === UPPER_E) {
      const sign = text.charCodeAt(end + 1);
      end = this.endOfDigits(sign === PLUS || sign === MINUS ? end + 2 : end + 1);
      isExact = true;
      isLarge = true;
    }
    this.at = end;
    const token = text.slice(start, end);
    const number = isExact ? new ExactNumber(token) : toNumber(token);
    const level = this.levels[this.levels.length - 1];
    if (level && isLarge && this.options.storable && !isStorableNumber(number)) level.holdsUnstorable = true;
    return number;
  }

  /** @throws JsonSyntaxError where there is none */
  private endOfDigits(start: number): number {
    const { text } = this;
    let end = start;
    for (let code = text.charCodeAt(end); code >= ZERO && code <= NINE;) code = text.charCodeAt((end += 1));
    if (end === start) throw new JsonSyntaxError(Math.min(end, text.length));
    return end;
  }

  /** Remembers that a value holds an unstorable number; then so does what it is in. */
  private remember(value: object): void {
    const level = this.levels[this.levels.length - 1];
    if (level) level.holdsUnstorable = true;
    if (this.levels.length < REMEMBERED_LEVELS) unstorable.add(value);
  }

  private readLiteral(): unknown {
    const { text, at } = this;
    if (text.startsWith('true', at)) return this.skipped(4, true);
    if (text.startsWith('false', at)) return this.skipped(5, false);
    if (text.startsWith('null', at)) return this.skipped(4, null);
    throw new JsonSyntaxError(at);
  }

  private skipped<T>(characters: number, value: T): T {
    this.at += characters;
    return value;
  }

  /** Where the text that is being read stands; of a key: where its object stands. */
  private path(isKey: boolean): (string | number)[] {
    const path = this.levels.map(({ object, key, start }, index) =>
      object ? key : (this.levels[index + 1]?.start ?? this.itemCount) - start,
    );
    return isKey ? path.slice(0, -1) : path;
  }
}

function setKey(object: Record<string, unknown>, key: string, value: unknown): void {
  // An assignment to `__proto__` would change what the object inherits from.
  if (key !== '__proto__') object[key] = value;
  else Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
}

function parseToken(token: string, offset: number): string {
  try {
    return String(JSON.parse(token));
  } catch {
    throw new JsonSyntaxError(offset);
  }
}
