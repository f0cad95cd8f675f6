import fc from 'fast-check';
import { expect, it } from 'vitest';
import { headerText, truncated } from '../../src/lib/text.js';

const LONE_SURROGATE = /\p{Surrogate}/u;

it('a truncated text is the first code points of the text, and never ends inside of one', () => {
  const texts = fc.string({ unit: fc.constantFrom('a', 'é', '漢', '😀', '👩‍💻'), maxLength: 40 });
  fc.assert(
    fc.property(texts, fc.integer({ min: 0, max: 60 }), (text, length) => {
      const cut = truncated(text, length);
      expect(cut).toBe(Array.from(text).slice(0, length).join(''));
      expect(cut).not.toMatch(LONE_SURROGATE);
    }),
  );
});

it('a text that is short enough is returned unchanged', () => {
  expect(truncated('😀', 1)).toBe('😀');
  expect(truncated('😀', 2)).toBe('😀');
});

it('a header is read as UTF-8, or as latin1 where it is none', () => {
  const sent = (text: string) => Buffer.from(text).toString('latin1');
  expect(headerText(sent('नगर 😀'))).toBe('नगर 😀');
  expect(headerText('caf\u00e9')).toBe('café');
  expect(headerText('plain')).toBe('plain');
});
