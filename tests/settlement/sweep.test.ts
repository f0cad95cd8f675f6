import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { sweep } from '../../src/services/settlement/sweep.js';
import { MemoryClient, MemoryOrchestrator } from '../support/settlement/memory-orchestrator.js';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] });
});
afterEach(() => {
  vi.useRealTimers();
});

interface Ended {
  /** Milliseconds after the first. */
  at: number;
  isPoisoned: boolean;
}

async function swept(ended: Ended[], pageSize: number, fromMs = 0) {
  const orchestrator = new MemoryOrchestrator(0);
  const begin = Date.now();
  const wanted: string[] = [];
  for (const { at, isPoisoned } of ended) {
    const run = orchestrator.start();
    vi.setSystemTime(begin + at);
    orchestrator.end(run, 'COMPLETED');
    if (isPoisoned) orchestrator.poisoned.add(run.id);
    else if (at >= fromMs) wanted.push(run.id);
  }
  const client = new MemoryClient(orchestrator, { isDead: false });
  client.pageSize = pageSize;
  const found: string[] = [];
  let unreadable = 0;
  const pages = sweep(() => client.session(), {
    size: client,
    from: new Date(begin + fromMs).toISOString(),
    onUnreadable: () => (unreadable += 1),
  });
  for await (const runs of pages) found.push(...runs.map(({ id }) => id));
  return { wanted, found, unreadable };
}

describe('A sweep', () => {
  it('finds each run that ended since then once, the latest first', async () => {
    const ended = Array.from({ length: 650 }, (_, n) => ({ at: n, isPoisoned: false }));
    const { wanted, found } = await swept(ended, 200, 100);
    expect(found).toEqual(wanted.reverse());
    expect(found).toHaveLength(550);
  });

  it('finds them, too, where more than a page ended at the same time', async () => {
    const ended = Array.from({ length: 650 }, (_, n) => ({ at: n > 600 ? 1 : 0, isPoisoned: false }));
    const { wanted, found } = await swept(ended, 200);
    expect(found.sort()).toEqual(wanted.sort());
  });

  it('finds them all around those that the orchestrator cannot show, whatever a page may hold', async () => {
    const run = fc.record({ at: fc.nat(6), isPoisoned: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(
        fc.array(run, { maxLength: 40 }),
        fc.integer({ min: 1, max: 12 }),
        async (ended, pageSize) => {
          const { wanted, found, unreadable } = await swept(ended, pageSize);
          expect(found.sort()).toEqual(wanted.sort());
          expect(unreadable > 0).toBe(ended.some(({ isPoisoned }) => isPoisoned));
        },
      ),
      { numRuns: 300 },
    );
  });
});
