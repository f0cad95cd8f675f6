import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { JsonSyntaxError, parseJson, parsePlainJson, splitObjects, stringifyJson } from '../src/json.js';
import { isStorableNumber } from '../src/lib/exact-number.js';

const through = (text: string) => stringifyJson(parseJson(text));

/** How Python reads a number: an int of any length, or a float; -0 is the int 0. */
function asPython(text: string): string {
  if (/^-?\d+$/.test(text)) return `int ${BigInt(text)}`;
  const value = Number(text);
  return `float ${Object.is(value, -0) ? '-0' : value}`;
}

const digits = (min: number, max: number) =>
  fc.string({ unit: fc.integer({ max: 9, min: 0 }).map(String), minLength: min, maxLength: max });
const integer = fc
  .tuple(
    fc.constantFrom('', '-'),
    fc.oneof(
      fc.constant('0'),
      digits(1, 25).map((text) => `1${text}`),
    ),
  )
  .map((parts) => parts.join(''));
const number = fc.oneof(
  integer,
  fc.tuple(integer, digits(1, 25)).map(([whole, part]) => `${whole}.${part}`),
  fc
    .tuple(integer, fc.constantFrom('9', '0'), fc.integer({ min: 1, max: 20 }))
    .map(([w, d, n]) => `${w}.${d.repeat(n)}`),
  fc
    .tuple(
      integer,
      fc.constantFrom('', '.0', '.5', '.25'),
      fc.constantFrom('e', 'E'),
      fc.integer({ min: -330, max: 310 }),
    )
    .map(([whole, part, e, exponent]) => `${whole}${part}${e}${exponent}`),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
);

describe('JSON that passes through', () => {
  it('keeps every number that Python would tell from another', () => {
    fc.assert(
      fc.property(
        number,
        fc.constantFrom('{"a":@}', '[@]', '[1, @ ]', '@', ' { "a" :\n@ } '),
        (text, frame) => {
          const back = through(frame.replace('@', text))
            .replace(/^[^\d-]*(?:1,)?/, '')
            .replace(/[\]}]$/, '');
          expect(asPython(back)).toBe(asPython(text));
        },
      ),
      { numRuns: 3_000 },
    );
  });

  it.each(['1.0', '-0.0', '1e5', '1E400', '0.10', '12345678901234567890', '9007199254740993', '1.50'])(
    'keeps %s as it is written',
    (text) => {
      expect(through(`{"a":${text}}`)).toBe(`{"a":${text}}`);
    },
  );

  it('keeps values, key order and unicode', () => {
    // Keys that look like array indexes come first in every JavaScript object.
    const key = fc.string({ unit: 'binary' }).map((text) => (/^\d+$/.test(text) ? `_${text}` : text));
    const value = fc.letrec((tie) => ({
      any: fc.oneof(
        { maxDepth: 4 },
        fc.constantFrom('null', 'true', 'false', '1', '1.0', '1e5', '12345678901234567890'),
        fc.string({ unit: 'binary' }).map((text) => JSON.stringify(text)),
        fc.array(tie('any')).map((items) => `[${items.join(',')}]`),
        fc
          .uniqueArray(
            fc.tuple(fc.oneof(key, fc.constantFrom('__proto__', 'constructor', 'toJSON')), tie('any')),
            {
              selector: ([name]) => name,
            },
          )
          .map(
            (pairs) => `{${pairs.map(([name, one]) => `${JSON.stringify(name)}:${String(one)}`).join(',')}}`,
          ),
      ),
    })).any;
    fc.assert(
      fc.property(value, (text) => {
        expect(through(text)).toBe(text);
      }),
      { numRuns: 2_000 },
    );
  });

  it.each(['1', '1.0'])('keeps __proto__ as a key like any other, beside %s', (beside) => {
    const text = `{"__proto__":{"polluted":${beside}},"n":${beside},"constructor":{"prototype":null}}`;
    expect(through(text)).toBe(text);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  it.each(['{"a":1,"a":2}', '{"a":1,"a":2.0}'])('the last of equal keys counts: %s', (text) => {
    expect(through(text)).toMatch(/^\{"a":2(\.0)?\}$/);
  });
});

describe('Text that is no JSON', () => {
  it('is told from JSON as JSON.parse tells it', () => {
    const broken = fc
      .tuple(
        fc.json(),
        fc.nat(),
        fc.constantFrom('', '1.0', ',', '}', '"', '\\', '\u0001', ' 1e5', ':', 'NaN'),
      )
      .map(
        ([text, at, part]) =>
          text.slice(0, at % (text.length + 1)) + part + text.slice((at % (text.length + 1)) + 1),
      );
    fc.assert(
      fc.property(broken, (text) => {
        const isJson = (parse: (text: string) => unknown) => {
          try {
            parse(text);
            return true;
          } catch (error) {
            expect(error).toBeInstanceOf(parse === JSON.parse ? SyntaxError : JsonSyntaxError);
            return false;
          }
        };
        const wanted = isJson(JSON.parse);
        expect([isJson(parseJson), isJson(parsePlainJson)]).toEqual([wanted, wanted]);
      }),
      { numRuns: 3_000 },
    );
  });

  it.each(['{"password": "canary" x}', '{"password": "canary", "n": 1.0 x}', 'canary'])(
    'is not quoted in the error: %s',
    (text) => {
      const failed = () => parseJson(text);
      expect(failed).toThrow(JsonSyntaxError);
      expect(failed).not.toThrow('canary');
    },
  );
});

describe('Numbers that an orchestrator can store', () => {
  it.each([
    ['9223372036854775807', true],
    ['18446744073709551615', true],
    ['18446744073709551616', false],
    ['-9223372036854775808', true],
    ['-9223372036854775809', false],
    ['1e400', false],
    ['-1E999', false],
    ['1.5', true],
    ['1e19', true],
    ['1e20', false],
    ['-1.0e19', false],
    ['1e-300', true],
  ])('%s: %s', (text, storable) => {
    const [value] = parseJson(`[${text}]`) as Parameters<typeof isStorableNumber>[0][];
    expect(isStorableNumber(value!)).toBe(storable);
  });
});

describe('the objects of an array', () => {
  const object = fc.dictionary(fc.string(), fc.jsonValue());

  it('are found as they are written', () => {
    fc.assert(
      fc.property(fc.array(object), (objects) => {
        expect(splitObjects(JSON.stringify(objects))).toEqual(objects.map((one) => JSON.stringify(one)));
      }),
    );
  });

  it('are refused where the text was cut', () => {
    fc.assert(
      fc.property(fc.array(object), fc.nat(), (objects, at) => {
        const text = JSON.stringify(objects);
        expect(() => splitObjects(text.slice(0, at % text.length))).toThrow(JsonSyntaxError);
      }),
    );
  });

  it.each([
    '',
    '{}',
    '[1]',
    '[{}',
    '[{}{}]',
    '[{},]',
    '[,{}]',
    '[{}]]',
    '[{}] ',
    '[}{]',
    '["{}"]',
    'null',
    '<html>',
  ])('are not found in %s', (text) => {
    expect(() => splitObjects(text)).toThrow(JsonSyntaxError);
  });
});
