import { UpstreamError } from './errors.js';

/** How many rows a page may have; lowered once, for good, when an operator's smaller limit is met. */
export interface PageSize {
  pageSize: number;
}

export interface Rows<T> {
  rows: T[];
  /** Set where the ceiling cut the list: the number of rows that came through. */
  cutAt?: number;
}

/** Reads `limit` rows from `offset`. */
export type FetchPage<T> = (limit: number, offset: number) => Promise<T[]>;

/** How many rows a list has in all, for lists that can tell. */
export type CountRows = () => Promise<number>;

interface Wanted {
  offset?: number;
  /** Rows wanted; all of them where it is not given. */
  limit?: number | undefined;
  /** Rows that are read at most, whatever is wanted. */
  ceiling: number;
  count?: CountRows;
}

/**
 * Reads a list that may be longer than a page. The first page tells whether there is more. A list that can be counted
 * is then read to its end at once; of others (logs) more and more pages are read at once, as it turns out to be longer.
 * Rows are told apart by `id`: a list that grows while it is read may show a row on two pages.
 */
export async function readPages<T extends { id: string }>(
  size: PageSize,
  fetchPage: FetchPage<T>,
  { offset = 0, limit = Infinity, ceiling, count }: Wanted,
): Promise<Rows<T>> {
  let wanted = Math.min(limit, ceiling + 1);
  const rows = await readPage(size, fetchPage, wanted, offset);
  let isFull = rows.length === Math.min(size.pageSize, wanted);
  if (isFull && count && rows.length < wanted) wanted = Math.min(wanted, (await count()) - offset);
  while (isFull && rows.length < wanted) {
    const atOnce = count ? Infinity : Math.max(1, Math.floor(rows.length / size.pageSize / 2));
    const pages = pageBounds(rows.length, wanted, size.pageSize, atOnce);
    const read = await Promise.all(pages.map((page) => fetchPage(page.limit, offset + page.offset)));
    isFull = read.every((page, index) => page.length === pages[index]?.limit);
    rows.push(...read.flat());
  }
  const unique = [...new Map(rows.map((row) => [row.id, row])).values()].slice(0, ceiling);
  return rows.length > ceiling ? { rows: unique, cutAt: ceiling } : { rows: unique };
}

/** The first page; learns the operator's limit where it is lower than ours. */
async function readPage<T>(
  size: PageSize,
  fetchPage: FetchPage<T>,
  wanted: number,
  offset: number,
): Promise<T[]> {
  const asked = Math.min(size.pageSize, wanted);
  try {
    return await fetchPage(asked, offset);
  } catch (error) {
    const lower = smallerLimit(error);
    if (lower === undefined || lower >= asked) throw error;
    size.pageSize = Math.min(size.pageSize, lower);
    return fetchPage(Math.min(lower, wanted), offset);
  }
}

function pageBounds(
  from: number,
  to: number,
  size: number,
  atMost: number,
): { offset: number; limit: number }[] {
  const pages = Math.min(atMost, Math.ceil((to - from) / size));
  return Array.from({ length: pages }, (_, index) => {
    const offset = from + index * size;
    return { offset, limit: Math.min(size, to - offset) };
  });
}

/** Operators can lower the limit (PREFECT_SERVER_API_DEFAULT_LIMIT); the 422 says to what. */
function smallerLimit(error: unknown): number | undefined {
  if (!(error instanceof UpstreamError && error.answered(422))) return undefined;
  const found = /less than or equal to (\d+)/.exec(JSON.stringify(error.details.explanation ?? ''));
  return found ? Number(found[1]) : undefined;
}
