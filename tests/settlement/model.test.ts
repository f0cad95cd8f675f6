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
const fate = fc.constantFrom(
  ...(['503', '500', 'reset', 'lost reply', 'cut reply', 'killed before', 'killed after'] as const),
  ...(['foreign page 404', 'foreign page 409', 'foreign JSON 404', 'foreign JSON 409'] as const),
);
const answer = fc.constantFrom('200', '500', '401', '410', 'late', 'killed before', 'killed after');
const of = fc.constantFrom(
  'GET flow_runs',
  'POST flow_runs',
  'PATCH flow_runs',
  'DELETE block_documents',
  'DELETE deployments',
  'POST v2',
  'POST concurrency_limits',
  'GET variables',
  'PATCH variables',
);
const fates = fc.array(fc.oneof(fate, fc.constant('well' as const)), { minLength: 1, maxLength: 6 });
const type = fc.constantFrom('COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED');
const seconds = fc.constantFrom(0.1, 3, 20, 70, 700, 8_000);
const nonsense = { position: 'x', open_since: 'y', leader: 'z', beat: '' };

const often = <T>(weight: number, arbitrary: fc.Arbitrary<T>) => ({ weight, arbitrary });

/** @param again whether a terminal state may follow another one, and the Variable may be lost */
const steps = (again: boolean) => {
  const some: fc.Arbitrary<Step> = fc.oneof(
    often(2, fc.record({ kind: fc.constant('start') })),
    often(6, fc.record({ kind: fc.constant('end'), run, type, again: fc.constant(again) })),
    often(2, fc.record({ kind: fc.constant('retry'), run })),
    often(
      4,
      fc.record({
        kind: fc.constant('hint'),
        instance,
        run,
        state: fc.constantFrom('present', 'none', 'wrong'),
      }),
    ),
    often(1, fc.record({ kind: fc.constant('stranger'), instance })),
    often(4, fc.record({ kind: fc.constant('call'), of, fate })),
    often(2, fc.record({ kind: fc.constant('calls'), fates })),
    often(
      2,
      fc.record({ kind: fc.constant('answers'), answers: fc.array(answer, { minLength: 1, maxLength: 4 }) }),
    ),
    often(4, fc.record({ kind: fc.constant('mood'), run, mood: fc.constantFrom('200', '500', '401') })),
    often(1, fc.record({ kind: fc.constant('kill'), instance })),
    often(1, fc.record({ kind: fc.constant('close'), instance })),
    often(2, fc.record({ kind: fc.constant('boot'), instance })),
    often(6, fc.record({ kind: fc.constant('pass'), seconds })),
    often(
      again ? 1 : 0,
      fc.record({
        kind: fc.constant('variable'),
        value: fc.constantFrom(undefined, null, 'nonsense', {}, nonsense),
      }),
    ),
  );
  return fc.array(some, { maxLength: 40, size: 'max' });
};
const numRuns = Number(process.env['MODEL_RUNS'] ?? 150);
const LONG = 600_000;

describe('Settlement', () => {
  const holds = (again: boolean, lookbackSeconds: number) =>
    fc.assert(
      fc.asyncProperty(steps(again), fc.boolean(), async (happening, restart) => {
        const world = new World(lookbackSeconds);
        await world.take({ kind: 'pass', seconds: 1 });
        for (const one of happening) await world.take(one);
        await world.heal(restart);
        expect(world.wrongs()).toEqual([]);
      }),
      { numRuns },
    );

  it(
    'loses nothing and harms nobody, whatever happens in whatever order',
    () => holds(true, 31 * 86_400),
    LONG,
  );

  it(
    'needs no looking back for it, as long as the Variable is there and ends are not replaced',
    () => holds(false, 1),
    LONG,
  );
});
