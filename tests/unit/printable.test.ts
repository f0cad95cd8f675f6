import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { printable, printableLines } from '../../src/lib/printable.js';

const UNSAFE = /[\p{Cc}\p{Cs}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/u;
const anyText = fc.string({
  unit: fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)),
});

describe('printable', () => {
  it.each([
    ['a C1 control character, as terminals take it for an escape', '\u009b31mred', '\\u009b31mred'],
    ['a C0 control character', '\u001b[2J\u0007', '\\u001b[2J\\u0007'],
    ['line ends', 'a\r\nb\tc', 'a\\r\\nb\\tc'],
    ['the other line ends', 'a\u2028b\u2029c\u0085d', 'a\\u2028b\\u2029c\\u0085d'],
    ['delete', 'a\u007f', 'a\\u007f'],
    ['bidirectional overrides', 'user\u202egnp.exe\u202c', 'user\\u202egnp.exe\\u202c'],
    ['isolates and marks', '\u2066a\u2069\u200f\u061c', '\\u2066a\\u2069\\u200f\\u061c'],
    ['half an emoji', '\ud83d!', '\\ud83d!'],
  ])('escapes %s', (_what, text, escaped) => {
    expect(printable(text)).toBe(escaped);
  });

  it('leaves all other text as it is, in any script', () => {
    const text = 'Ünïcödé 日本語 العربية עברית 👩‍👩‍👧 "quoted" \\n';
    expect(printable(text)).toBe(text);
  });

  it('leaves nothing unsafe, whatever the text is', () => {
    fc.assert(fc.property(anyText, (text) => !UNSAFE.test(printable(text))));
  });

  it('does not change what JSON means', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(JSON.parse(printable(JSON.stringify({ [text]: text })))).toEqual({ [text]: text });
      }),
    );
  });
});

describe('printableLines', () => {
  it('is the same for each line, and keeps their ends', () => {
    fc.assert(
      fc.property(fc.array(anyText), (texts) => {
        const lines = texts.join('\n').split('\n');
        expect(printableLines(lines.join('\n'))).toBe(lines.map(printable).join('\n'));
      }),
    );
  });
});
