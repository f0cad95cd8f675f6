import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UpstreamError } from '../src/prefect/errors.js';
import { readPages, type PageSize } from '../src/prefect/pages.js';

interface Row {
  id: string;
}

const rowsUpTo = (length: number): Row[] => Array.from({ length }, (_, n) => ({ id: `row ${n}` }));

/** A list of an orchestrator that refuses pages above its limit, as Prefect does. */
class List {
  readonly asked: { limit: number; offset: number }[] = [];
  mostAtOnce = 0;
  private atOnce = 0;

  constructor(
    readonly rows: Row[],
    private readonly pageLimit = 200,
    private readonly afterPage: () => void = () => {},
  ) {}

  fetchPage = async (limit: number, offset: number): Promise<Row[]> => {
    this.asked.push({ limit, offset });
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.atOnce);
    await Promise.resolve();
    this.atOnce -= 1;
    if (limit > this.pageLimit) {
      const explanation = `Invalid limit: must be less than or equal to ${this.pageLimit}.`;
      throw new UpstreamError('status', { status: 422, explanation });
    }
    const page = this.rows.slice(offset, offset + limit);
    this.afterPage();
    return page;
  };
}

describe('readPages', () => {
  it('gives the rows asked for, whatever the lengths and limits are', async () => {
    const wanted = fc.record({
      length: fc.nat(60),
      pageSize: fc.integer({ min: 1, max: 12 }),
      pageLimit: fc.integer({ min: 1, max: 12 }),
      limit: fc.option(fc.integer({ min: 1, max: 80 }), { nil: undefined }),
      offset: fc.nat(70),
      ceiling: fc.integer({ min: 1, max: 50 }),
    });
    await fc.assert(
      fc.asyncProperty(wanted, async ({ length, pageSize, pageLimit, limit = Infinity, offset, ceiling }) => {
        const list = new List(rowsUpTo(length), pageLimit);
        const read = await readPages({ pageSize }, list.fetchPage, { offset, limit, ceiling });
        const there = Math.min(limit, Math.max(0, length - offset));
        expect(read.rows).toEqual(list.rows.slice(offset, offset + Math.min(limit, ceiling)));
        expect(read.cutAt).toBe(there > ceiling ? ceiling : undefined);
      }),
      { numRuns: 1_000 },
    );
  });

  it('asks for no row twice, for none that is not wanted, and for few pages beyond the end', async () => {
    const wanted = fc.record({
      length: fc.nat(200),
      pageSize: fc.integer({ min: 1, max: 20 }),
      limit: fc.integer({ min: 1, max: 250 }),
      offset: fc.nat(50),
    });
    await fc.assert(
      fc.asyncProperty(wanted, async ({ length, pageSize, limit, offset }) => {
        const list = new List(rowsUpTo(length));
        await readPages({ pageSize }, list.fetchPage, { offset, limit, ceiling: 1_000 });
        const asked = list.asked.toSorted((a, b) => a.offset - b.offset);
        const ends = asked.map((page) => page.offset + page.limit);
        expect(asked.map((page) => page.offset)).toEqual([offset, ...ends.slice(0, -1)]);
        expect(ends.at(-1)).toBeLessThanOrEqual(offset + limit);
        const needed = Math.floor(Math.max(0, length - offset) / pageSize) + 1;
        expect(asked.length).toBeLessThanOrEqual(2 * needed);
      }),
    );
  });

  it('shows a row once where the list grows while it is read, and loses none', async () => {
    const growth = fc.record({
      length: fc.nat(60),
      pageSize: fc.integer({ min: 1, max: 9 }),
      grown: fc.nat(5),
    });
    await fc.assert(
      fc.asyncProperty(growth, async ({ length, pageSize, grown }) => {
        const first = rowsUpTo(length);
        let added = 0;
        const list: List = new List([...first], 200, () => {
          if (added < grown) list.rows.unshift({ id: `new ${added++}` });
        });
        const ids = (await readPages({ pageSize }, list.fetchPage, { ceiling: 1_000 })).rows.map(
          ({ id }) => id,
        );
        expect(new Set(ids).size).toBe(ids.length);
        expect(ids).toEqual(expect.arrayContaining(first.map(({ id }) => id)));
      }),
    );
  });

  it('says that it cut a list also where a row came twice', async () => {
    let isGrown = false;
    const list: List = new List(rowsUpTo(20), 200, () => {
      if (!isGrown) list.rows.unshift({ id: 'new' });
      isGrown = true;
    });
    const read = await readPages({ pageSize: 5 }, list.fetchPage, { ceiling: 10 });
    expect(read.cutAt).toBe(10);
    expect(read.rows).toHaveLength(10);
  });

  it('reads further pages at once', async () => {
    const list = new List(rowsUpTo(1_000));
    await readPages({ pageSize: 100 }, list.fetchPage, { ceiling: 10_000 });
    expect(list.mostAtOnce).toBeGreaterThanOrEqual(4);
  });

  it("learns an operator's lower limit once, for good", async () => {
    const size: PageSize = { pageSize: 200 };
    const list = new List(rowsUpTo(120), 50);
    expect((await readPages(size, list.fetchPage, { ceiling: 1_000 })).rows).toEqual(list.rows);
    expect(size.pageSize).toBe(50);
    list.asked.length = 0;
    await readPages(size, list.fetchPage, { ceiling: 1_000 });
    expect(list.asked.every((page) => page.limit <= 50)).toBe(true);
  });

  it('learns it for two lists that are read at once', async () => {
    const size: PageSize = { pageSize: 200 };
    const list = new List(rowsUpTo(120), 50);
    const read = () => readPages(size, list.fetchPage, { ceiling: 1_000 });
    for (const { rows } of await Promise.all([read(), read()])) expect(rows).toEqual(list.rows);
  });

  it('passes other refusals on', async () => {
    const refused = new UpstreamError('status', { status: 422, explanation: 'Invalid offset.' });
    const read = readPages({ pageSize: 200 }, () => Promise.reject(refused), { ceiling: 10 });
    await expect(read).rejects.toBe(refused);
  });
});
