import fc from 'fast-check';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Admission, NotAdmitted, PRIORITIES, type Priority } from '../src/admission.js';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const LONGEST_MS = 100;
const priority = fc.constantFrom(...PRIORITIES);
const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('come' as const),
      priority,
      patienceMs: fc.integer({ min: 1, max: LONGEST_MS }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('finish' as const), which: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('hang up' as const), which: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.nat(40) }) },
);

interface Guest {
  /** The order in which they came. */
  number: number;
  priority: Priority;
  state: 'waits' | 'in' | 'finished' | NotAdmitted['reason'];
  hangUp: () => void;
}

/** Those who come to an admission, and what is true of them at any time. */
class Guests {
  readonly all: Guest[] = [];
  readonly admission: Admission;

  constructor(
    readonly slots: number,
    readonly places: number,
  ) {
    this.admission = new Admission({ slots, waiting: places });
  }

  are(...states: Guest['state'][]): Guest[] {
    return this.all.filter(({ state }) => states.includes(state));
  }

  async come(priority: Priority, patienceMs: number): Promise<void> {
    const { admission } = this;
    const gone = new AbortController();
    const hangUp = () => {
      gone.abort();
    };
    const guest: Guest = { number: this.all.length, priority, state: 'waits', hangUp };
    this.all.push(guest);
    if (admission.tryEnter(priority)) {
      this.assertFirst(guest);
      guest.state = 'in';
    } else {
      admission.wait(priority, { patienceMs, gone: gone.signal }).then(
        () => {
          this.assertFirst(guest);
          guest.state = 'in';
        },
        (error: unknown) => {
          if (!(error instanceof NotAdmitted)) throw error;
          guest.state = error.reason;
          if (error.reason === 'full') this.assertLeastUrgent(guest);
        },
      );
    }
    await settled();
  }

  async finish(guest: Guest): Promise<void> {
    guest.state = 'finished';
    this.admission.leave(guest.priority);
    await settled();
  }

  assertBounds(): void {
    const has = (...priorities: Priority[]) =>
      this.are('in').filter((guest) => priorities.includes(guest.priority)).length;
    const most = (kept: number) => Math.max(1, this.slots - Math.floor(this.slots * kept));
    const room = {
      high: this.slots - has('high', 'normal', 'low'),
      normal: most(1 / 8) - has('normal', 'low'),
      low: most(1 / 2) - has('low'),
    };
    expect(Math.min(...Object.values(room))).toBeGreaterThanOrEqual(0);
    expect(this.are('waits').length).toBeLessThanOrEqual(this.places);
    expect(this.admission.underWay).toBe(this.are('in').length);
    expect(this.admission.waiting).toBe(this.are('waits').length);
    // Nobody waits for room that is there.
    const free = {
      high: room.high,
      normal: Math.min(room.high, room.normal),
      low: Math.min(...Object.values(room)),
    };
    for (const guest of this.are('waits')) expect(free[guest.priority]).toBe(0);
  }

  private assertFirst(guest: Guest): void {
    for (const other of this.are('waits')) {
      if (other === guest) continue;
      expect(rank(other)).toBeGreaterThanOrEqual(rank(guest));
      if (rank(other) === rank(guest)) expect(other.number).toBeGreaterThan(guest.number);
    }
  }

  private assertLeastUrgent(guest: Guest): void {
    expect(this.are('waits')).toHaveLength(this.places);
    for (const other of this.are('waits')) expect(rank(other)).toBeLessThanOrEqual(rank(guest));
  }
}

it('never more than its slots under way, by priority and then by arrival, nobody lost', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 20 }),
      fc.nat(6),
      fc.array(step, { maxLength: 80 }),
      async (slots, places, steps) => {
        const guests = new Guests(slots, places);
        for (const step of steps) {
          await take(guests, step);
          guests.assertBounds();
        }
        // All who are in finish, and so do those who come in by that.
        for (let inside = guests.are('in'); inside.length > 0; inside = guests.are('in')) {
          const [guest] = inside;
          if (guest) await guests.finish(guest);
          guests.assertBounds();
        }
        expect(guests.are('waits', 'in')).toEqual([]);
        expect(vi.getTimerCount()).toBe(0);
      },
    ),
    { numRuns: 300 },
  );
});

async function take(guests: Guests, step: Step): Promise<void> {
  switch (step.kind) {
    case 'come':
      await guests.come(step.priority, step.patienceMs);
      return;
    case 'finish': {
      const guest = pick(guests.are('in'), step.which);
      if (guest) await guests.finish(guest);
      return;
    }
    case 'hang up':
      pick(guests.are('waits'), step.which)?.hangUp();
      break;
    case 'pass':
      vi.advanceTimersByTime(step.ms);
  }
  await settled();
}

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function pick<T>(from: T[], which: number): T | undefined {
  return from[which % from.length];
}

function rank({ priority }: Guest): number {
  return PRIORITIES.indexOf(priority);
}

function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
