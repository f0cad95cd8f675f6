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

interface Wanted {
  offset?: number;
  /** Rows wanted; all of them where it is not given. */
  limit?: number | undefined;
  /** Rows that are read at most, whatever is wanted. */
  ceiling: number;
}

/**
 * Reads a list that may be longer than a page. The first page tells whether there is more; further pages are read
 * at once, in batches that double (1, 2, 4 ... pages), because most of Prefect's lists do not say how long they are.
 * Rows are told apart by `id`: a list that grows while it is read may show a row on two pages.
 */
export async function readPages<T extends { id: string }>(
  size: PageSize,
  fetchPage: FetchPage<T>,
  { offset = 0, limit = Infinity, ceiling }: Wanted,
): Promise<Rows<T>> {
  const wanted = Math.min(limit, ceiling + 1);
  const rows = await readFirst(size, fetchPage, wanted, offset);
  let isFull = rows.length === Math.min(size.pageSize, wanted);
  for (let batch = 1; isFull && rows.length < wanted; batch *= 2) {
    const pages = pageBounds(rows.length, wanted, size.pageSize, batch);
    const read = await Promise.all(pages.map((page) => fetchPage(page.limit, offset + page.offset)));
    isFull = read.every((page, index) => page.length === pages[index]?.limit);
    rows.push(...read.flat());
  }
  const unique = [...new Map(rows.map((row) => [row.id, row])).values()];
  return unique.length > ceiling ? { rows: unique.slice(0, ceiling), cutAt: ceiling } : { rows: unique };
}

async function readFirst<T>(
  size: PageSize,
  fetchPage: FetchPage<T>,
  wanted: number,
  offset: number,
): Promise<T[]> {
  try {
    return await fetchPage(Math.min(size.pageSize, wanted), offset);
  } catch (error) {
    const lower = smallerLimit(error);
    if (lower === undefined || lower >= size.pageSize) throw error;
    size.pageSize = lower;
    return fetchPage(Math.min(lower, wanted), offset);
  }
}

function pageBounds(
  from: number,
  to: number,
  size: number,
  pages: number,
): { offset: number; limit: number }[] {
  return Array.from({ length: pages }, (_, index) => from + index * size)
    .filter((offset) => offset < to)
    .map((offset) => ({ offset, limit: Math.min(size, to - offset) }));
}

/** Operators can lower the limit (PREFECT_SERVER_API_DEFAULT_LIMIT); the 422 says to what. */
function smallerLimit(error: unknown): number | undefined {
  if (!(error instanceof UpstreamError) || error.status !== 422) return undefined;
  const found = /less than or equal to (\d+)/.exec(JSON.stringify(error.details.explanation ?? ''));
  return found ? Number(found[1]) : undefined;
}
