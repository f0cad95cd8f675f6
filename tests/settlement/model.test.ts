import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { World, type Step } from '../support/settlement/world.js';
import { stopTime } from '../support/settlement/virtual-time.js';

beforeEach(stopTime);
afterEach(() => {
  vi.useRealTimers();
});

const run = fc.nat(3);
const instance = fc.nat(1);
const fate = fc.constantFrom('503', '500', 'reset', 'lost reply', 'killed before', 'killed after');
const answer = fc.constantFrom('200', '500', '401', '410', 'late', 'killed before', 'killed after');
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: fc.constant({ kind: 'start' } as const) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('end'),
      run,
      type: fc.constantFrom('COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED'),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('retry'), run }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('hint'),
      instance,
      run,
      state: fc.constantFrom('present', 'none', 'wrong'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('stranger'), instance }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('calls'),
      fates: fc.array(fc.option(fate, { nil: 'well' as const }), { minLength: 1, maxLength: 6 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('answers'),
      answers: fc.array(answer, { minLength: 1, maxLength: 4 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('mood'), run, mood: fc.constantFrom('200', '500', '401') }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('kill'), instance }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('close'), instance }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('boot'), instance }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('pass'),
      seconds: fc.constantFrom(0.1, 3, 20, 70, 700, 8_000),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('variable'),
      value: fc.constantFrom(
        undefined,
        null,
        'nonsense',
        {},
        { position: 'x', open_since: 'y', leader: 'z', beat: '' },
      ),
    }),
  },
);

describe('Settlement', () => {
  it('loses nothing and harms nobody, whatever happens in whatever order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40, size: 'max' }), async (steps) => {
        const world = new World();
        for (const one of steps) await world.take(one);
        await world.heal();
        expect(world.wrongs()).toEqual([]);
      }),
      { numRuns: Number(process.env['MODEL_RUNS'] ?? 200) },
    );
  }, 600_000);
});
