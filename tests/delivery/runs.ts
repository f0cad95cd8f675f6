/** What a driver made happen, and what the verifier then asks for. */
export interface Run {
  id: string;
  name: string;
  course: Course;
  held: Held;
  /** The terminal states that it was given, in order; the last one is how it ended. */
  ended: EndedState[];
  /** What the driver itself found wrong while the run was under way. */
  complaints: string[];
}

/**
 * `ends`: once. `superseded`: CRASHED, and COMPLETED moments later. `revived`: FAILED, retried, COMPLETED when a failed
 * run's resources would be gone. `lives`: does not end.
 */
export type Course = 'ends' | 'superseded' | 'revived' | 'lives';

export interface EndedState {
  id: string;
  type: string;
  name: string;
  /** When the orchestrator's reply to the change was there: milliseconds since 1970. */
  at: number;
}

/** Ids of what a run holds. */
export interface Held {
  blocks: string[];
  deployments: string[];
  leases: string[];
  /** Task runs of it that have a slot of the round's tag. */
  slotHolders: string[];
}

export interface StateInput {
  type: 'COMPLETED' | 'FAILED' | 'CRASHED' | 'CANCELLED';
  name: string;
}

export interface Plan {
  name: string;
  course: Course;
  /** How it ends. */
  end: StateInput;
  holds: (keyof Held)[];
}

const ENDS: StateInput[] = [
  { type: 'COMPLETED', name: 'Completed' },
  { type: 'FAILED', name: 'Failed' },
  { type: 'COMPLETED', name: 'Completed' },
  { type: 'CRASHED', name: 'Crashed' },
  { type: 'COMPLETED', name: 'DBT_TEST_FAILED' },
  { type: 'CANCELLED', name: 'Cancelled' },
  { type: 'FAILED', name: 'TimedOut' },
  { type: 'COMPLETED', name: 'Geschafft – 100% "ok"' },
];
const HOLDS: (keyof Held)[][] = [
  ['blocks'],
  ['leases'],
  ['slotHolders'],
  ['blocks', 'deployments'],
  [],
  ['deployments'],
  ['blocks', 'leases', 'slotHolders'],
];

/** How many of each 100 runs take which course; the rest ends once. */
export interface Mix {
  superseded: number;
  revived: number;
}

/** The runs of a round: every end meets every kind of holding, because 8 and 7 have no common divisor. */
export function planRuns(count: number, prefix: string, mix: Mix): Plan[] {
  return Array.from({ length: count }, (_, index) => {
    const course = courseOf(index, mix);
    const isPlain = course === 'ends';
    return {
      // A name that reads like the message itself.
      name:
        index % 40 === 7 ? `${prefix}-${index} with id ${NOBODY} entered state Failed` : `${prefix}-${index}`,
      course,
      end: isPlain ? ENDS[index % ENDS.length]! : ENDS[0]!,
      holds: HOLDS[index % HOLDS.length]!,
    };
  });
}

/** Runs that outlive the round: what they hold has to stay. */
export function planLivingRuns(prefix: string): Plan[] {
  const holds: (keyof Held)[] = ['blocks', 'deployments', 'leases', 'slotHolders'];
  return [1, 2, 3].map((n) => ({ name: `${prefix}-lives-${n}`, course: 'lives', end: ENDS[0]!, holds }));
}

const NOBODY = '00000000-0000-4000-8000-000000000000';

function courseOf(index: number, { superseded, revived }: Mix): Course {
  // 37 and 100 have no common divisor: courses are spread evenly.
  const place = (index * 37) % 100;
  if (place < superseded) return 'superseded';
  return place < superseded + revived ? 'revived' : 'ends';
}
