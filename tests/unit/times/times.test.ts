import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { ExactNumber } from '../../../src/json.js';
import { toUtcTime } from '../../../src/schemas/time.js';

const reading = z.string().nullable();
const forms = z
  .array(z.object({ given: z.unknown(), pydantic: reading, prefect: reading, python: reading }))
  .parse(JSON.parse(readFileSync(new URL('forms.json', import.meta.url), 'utf8')));

/** Read here though none of the three does: blanks around a text, a `+` that became a blank, small letters. */
const WIDER = [
  '2026-11-28T17:26:50 05:30',
  '2026-11-28T17:26:50.123 +05:30',
  '20261128t172650z',
  '20261128T172650z',
  ' 2026-11-28T17:26:50Z ',
  '2026-11-28 ',
  '\t2026-11-28',
  '2026-11-28T17:26:50\n',
  '20261128T172650Z ',
  ' 5 ',
  '1795887000 ',
];

/** Refused here though Prefect or Python reads them: no ISO 8601, or not what ISO 8601 means by them. */
const NARROWER = [
  '2026/11/28',
  '2026-11-28x17:26:50',
  '20261128-172650',
  // Weeks and days that do not exist.
  '2026-W00-1',
  '2026-W48-0',
  '2026-11-28T17:26:50+00:60',
  '2026-11-28T17:26:50+05:30:15',
  // Python reads a part of a minute or an hour as one of a second.
  '20261128T1726.5Z',
  '20261128T17.5Z',
  '2026-11-28T17:26.5Z',
  '2026-11-28T17.5',
  '2026-11-28T17:26:50.Z',
  '20261128T172650.Z',
];

function read(given: unknown): string | null {
  const result = toUtcTime(given);
  return 'value' in result ? result.value : null;
}

describe('A time that hosts send', () => {
  it.each(forms)('$given is read as hosts know it', ({ given, pydantic, prefect, python }) => {
    const known = pydantic ?? prefect ?? python;
    if (typeof given === 'string' && WIDER.includes(given)) {
      expect(known).toBeNull();
      expect(read(given)).not.toBeNull();
    } else if (typeof given === 'string' && NARROWER.includes(given)) {
      expect(pydantic).toBeNull();
      expect(read(given)).toBeNull();
    } else {
      // Prefect is asked in UTC, where it would be before the first year or after the last one; and in the year 9999 it
      // stores what it cannot read again.
      const isRefused = known === 'beyond the calendar in UTC' || known?.startsWith('9999-');
      expect(read(given)).toBe(isRefused ? null : known);
    }
  });

  it.each(['now', '17:26', '17:26:50', 'T17:26:50', 'noon'])('%s is no time, whatever day it is', (given) => {
    expect(read(given)).toBeNull();
  });

  it('is the same as a number of JSON that is kept as its text', () => {
    expect(read(new ExactNumber('1.795887e9'))).toBe('2026-11-28T17:30:00.000000+00:00');
    expect(read(new ExactNumber('1795887000.0'))).toBe(read(1795887000));
  });

  it('is refused in words of pydantic', () => {
    expect(toUtcTime('tomorrow')).toMatchObject({ type: 'datetime_from_date_parsing' });
    expect(toUtcTime([])).toMatchObject({ type: 'datetime_type' });
  });
});
