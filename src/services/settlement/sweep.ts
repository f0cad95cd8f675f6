import type { PrefectSession } from '../../prefect/client.js';
import { listEnded, type EndedRun } from '../../prefect/ended-runs.js';
import { UpstreamError } from '../../prefect/errors.js';
import type { PageSize } from '../../prefect/pages.js';

const PAGE = 200;

export interface SweepOptions {
  size: PageSize;
  /** ISO times, both inclusive. */
  from: string;
  until?: string | undefined;
  /** Is told of a run that the orchestrator cannot show, by the time before which it ended. */
  onUnreadable: (before: string | undefined) => void;
}

/**
 * The top-level runs that ended within a time, the latest first, page after page. Pages begin at a time and not at an
 * offset, so that a run that ends or revives meanwhile shifts none out of sight.
 * @param session makes a session for each page: a long sweep has no single deadline
 */
export async function* sweep(
  session: () => PrefectSession,
  options: SweepOptions,
): AsyncGenerator<EndedRun[]> {
  const seen = new Set<string>();
  let { until } = options;
  let offset = 0;
  for (;;) {
    // No more than an operator allows, once that is known: a page is one call.
    const limit = Math.min(PAGE, options.size.pageSize);
    const page = await readRange(session, { ...options, until }, offset, limit);
    const fresh = page.rows.filter((run) => !seen.has(run.id));
    for (const run of fresh) seen.add(run.id);
    if (fresh.length > 0) yield fresh;
    if (!page.isFull) return;
    const last = page.rows.at(-1)?.end_time;
    // As many runs as a page has ended at the same microsecond: only an offset leads past them.
    if (last === undefined || last === until) offset += page.read;
    else [until, offset] = [last, 0];
  }
}

interface Range {
  rows: EndedRun[];
  /** Rows that were passed, those that cannot be shown included. */
  read: number;
  isFull: boolean;
}

/**
 * One run with a label that Prefect cannot show makes every list that holds it a 500 (3.6.29 and 3.8.8). The list is
 * halved until that run is alone, and goes on without it.
 */
async function readRange(
  session: () => PrefectSession,
  options: SweepOptions,
  offset: number,
  limit: number,
): Promise<Range> {
  try {
    const { from, until, size } = options;
    const rows = await listEnded(session(), size, { from, until, offset, limit });
    return { rows, read: rows.length, isFull: rows.length >= Math.min(limit, size.pageSize) };
  } catch (error) {
    if (!(error instanceof UpstreamError && error.answered(500))) throw error;
    if (limit === 1) {
      options.onUnreadable(options.until);
      return { rows: [], read: 1, isFull: true };
    }
    const half = Math.floor(limit / 2);
    const first = await readRange(session, options, offset, half);
    if (!first.isFull) return first;
    const second = await readRange(session, options, offset + half, limit - half);
    return {
      rows: [...first.rows, ...second.rows],
      read: first.read + second.read,
      isFull: second.isFull,
    };
  }
}
