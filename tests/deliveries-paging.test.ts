import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PrefectSession } from '../src/prefect/client.js';
import type { EndedRun } from '../src/prefect/ended-runs.js';
import { UpstreamError } from '../src/prefect/errors.js';
import { cursorOf, deliveryQuery } from '../src/schemas/deliveries.js';
import { findEnded, type EndedBetween } from '../src/services/deliveries.js';

interface Ended {
  id: string;
  /** Ended so many microseconds after the begin. */
  at: number;
}
const micros = (at: number) => `2026-01-31T03:00:00.${String(at).padStart(6, '0')}Z`;
const SINCE = '2026-01-31T03:00:00.000000+00:00';
const idOf = (number: number) => `00000000-0000-4000-8000-${number.toString(16).padStart(12, '0')}`;

/** An orchestrator that has these runs; those of one time come in the order that they have here. */
function orchestrator(ended: Ended[]) {
  const api = {
    runs: ended,
    calls: 0,
    broken: false,
    post: (_path: unknown, options: { body: unknown; parse: (text: string) => unknown }) => {
      api.calls += 1;
      if (api.broken) throw new UpstreamError('status', { status: 500 });
      const { flow_runs, limit, offset } = options.body as {
        flow_runs: { end_time: { before_?: string } };
        limit: number;
        offset: number;
      };
      const before = flow_runs.end_time.before_?.replace('+00:00', 'Z') ?? '9';
      const rows = api.runs
        .filter((run) => micros(run.at) <= before)
        .sort((a, b) => b.at - a.at)
        .slice(offset, offset + limit);
      return Promise.resolve(options.parse(JSON.stringify(rows.map(view))));
    },
  };
  return api as typeof api & PrefectSession;
}
const view = ({ id, at }: Ended) => ({
  id,
  name: 'run',
  parent_task_run_id: null,
  end_time: micros(at),
  labels: {},
  state: { id, type: 'COMPLETED', name: 'Completed', timestamp: micros(at) },
});

/** Walks as a host does, cursor by cursor; `between` is called after each reply. */
async function walk(
  api: PrefectSession,
  limit: number,
  wanted: EndedBetween['wanted'] = () => true,
  between: () => void = () => undefined,
) {
  const shown: EndedRun[] = [];
  let after: EndedBetween['after'];
  for (let requests = 0; requests < 5_000; requests += 1) {
    const found = await findEnded(api, { pageSize: 200 }, { since: SINCE, after, limit, wanted });
    expect(found.runs.length).toBeLessThanOrEqual(limit);
    shown.push(...found.runs);
    if (!found.next) return shown;
    after = deliveryQuery.parse({ cursor: cursorOf(found.next) }).cursor;
    between();
  }
  throw new Error('no end');
}

const expected = (runs: Ended[]) =>
  [...runs].sort((a, b) => b.at - a.at || (a.id < b.id ? -1 : 1)).map(({ id }) => id);

/** Many of them at few times, so that there are many equal ones. */
const runs = fc.array(fc.nat(3), { maxLength: 700 }).chain((times) =>
  fc.shuffledSubarray(
    times.map((at, index) => ({ id: idOf(index), at })),
    { minLength: times.length },
  ),
);

describe('Walking through the runs that ended', () => {
  it('shows each once, the latest first, whatever ends at the same time', async () => {
    await fc.assert(
      fc.asyncProperty(runs, fc.integer({ min: 1, max: 200 }), async (given, limit) => {
        const shown = await walk(orchestrator(given), limit);
        expect(shown.map(({ id }) => id)).toEqual(expected(given));
      }),
      { numRuns: 60 },
    );
  });

  it('with a filter shows all that it wants', async () => {
    await fc.assert(
      fc.asyncProperty(
        runs,
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 2, max: 300 }),
        async (given, limit, nth) => {
          const isWanted = (id: string) => Number.parseInt(id.slice(-8), 16) % nth === 0;
          const shown = await walk(orchestrator(given), limit, (run) => isWanted(run.id));
          expect(shown.map(({ id }) => id)).toEqual(expected(given).filter(isWanted));
        },
      ),
      { numRuns: 60 },
    );
  });

  it('misses none where others revive or end in between', async () => {
    await fc.assert(
      fc.asyncProperty(
        runs,
        fc.integer({ min: 1, max: 40 }),
        fc.infiniteStream(fc.nat()),
        async (given, limit, chance) => {
          const api = orchestrator([...given]);
          const left = new Set<string>();
          let number = given.length;
          const shown = await walk(api, limit, undefined, () => {
            const [gone] = api.runs.splice(chance.next().value % Math.max(api.runs.length, 1), 1);
            if (gone) left.add(gone.id);
            api.runs.unshift({ id: idOf((number += 1)), at: 9 });
          });
          const ids = shown.map(({ id }) => id);
          expect(new Set(ids).size).toBe(ids.length);
          expect(ids).toEqual(expected(given).filter((id) => !left.has(id) || ids.includes(id)));
        },
      ),
      { numRuns: 60 },
    );
  });

  it('gets past more runs of one microsecond than a request reads', async () => {
    const given = Array.from({ length: 2_500 }, (_, index) => ({
      id: idOf(index),
      at: index < 2_400 ? 5 : 4,
    }));
    const shown = await walk(orchestrator(given), 200);
    expect(shown.map(({ id }) => id)).toEqual(expected(given));
  });

  it('stops reading where a filter finds nothing', async () => {
    const api = orchestrator(Array.from({ length: 9_000 }, (_, index) => ({ id: idOf(index), at: index })));
    const query = { since: SINCE, limit: 50, wanted: () => false };
    const found = await findEnded(api, { pageSize: 200 }, query);
    expect(found).toMatchObject({ runs: [], next: { time: expect.any(String) as string } });
    expect(api.calls).toBe(10);
  });

  it('does not ask an orchestrator for ever that fails at everything', async () => {
    const api = orchestrator([]);
    api.broken = true;
    const query = { since: SINCE, limit: 50, wanted: () => true };
    await expect(findEnded(api, { pageSize: 200 }, query)).rejects.toMatchObject({ status: 500 });
    // The breaker opens at 15.
    expect(api.calls).toBeLessThan(15);
  });
});

describe('A cursor', () => {
  it('that is none of ours is refused', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.base64String(), fc.uuid()), (text) => {
        expect(deliveryQuery.safeParse({ cursor: text }).success).toBe(false);
      }),
    );
  });

  it('that was changed or cut is refused, or names another place', () => {
    const place = { time: SINCE, id: idOf(7) };
    const cursor = cursorOf(place);
    fc.assert(
      fc.property(fc.nat(cursor.length - 1), fc.base64String({ minLength: 4, maxLength: 4 }), (at, piece) => {
        const changed = cursor.slice(0, at) + (piece[0] ?? '') + cursor.slice(at + 1);
        const parsed = deliveryQuery.safeParse({ cursor: changed });
        if (changed !== cursor && parsed.success) expect(parsed.data.cursor).not.toEqual(place);
        expect(deliveryQuery.safeParse({ cursor: cursor.slice(0, at) }).success).toBe(false);
      }),
    );
  });
});
