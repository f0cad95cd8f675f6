import { z } from 'zod';
import type { PrefectSession } from './client.js';
import { readPages, type PageSize } from './pages.js';
import { plain } from './parse.js';
import { path } from './path.js';

const time = z.string().nullable();
const summary = z.object({
  id: z.string(),
  name: z.string(),
  deployment_id: z.string().nullable(),
  state_type: z.string().nullable(),
  state_name: z.string().nullable(),
  expected_start_time: time,
  start_time: time,
  end_time: time,
  total_run_time: z.number(),
});
const summaries = plain(z.array(summary));
export type RunSummary = z.input<typeof summary>;

/** `POST /flow_runs/filter`: the runs of these ids that exist, by as few calls as there are pages, all at once. */
export async function byIds(
  api: PrefectSession,
  size: PageSize,
  ids: readonly string[],
): Promise<RunSummary[]> {
  const slices: string[][] = [];
  for (let at = 0; at < ids.length; at += size.pageSize) slices.push(ids.slice(at, at + size.pageSize));
  const read = slices.map((slice) => {
    const fetchPage = (limit: number, offset: number) =>
      api.post(path`/flow_runs/filter`, {
        body: { flow_runs: { id: { any_: slice } }, limit, offset },
        retry: 'read',
        parse: summaries,
      });
    // In pages where an operator's limit turns out to be smaller.
    return readPages(size, fetchPage, { limit: slice.length, ceiling: slice.length });
  });
  return (await Promise.all(read)).flatMap(({ rows }) => rows);
}

/** `POST /flow_runs/filter`: the runs in some states that hold a place somewhere, up to a page. */
export async function inStates(
  api: PrefectSession,
  size: PageSize,
  where: Record<string, unknown>,
  types: readonly string[],
): Promise<Occupant[]> {
  const fetchPage = (limit: number, offset: number) =>
    api.post(path`/flow_runs/filter`, {
      body: {
        ...where,
        flow_runs: { state: { type: { any_: types } } },
        sort: 'START_TIME_ASC',
        limit,
        offset,
      },
      retry: 'read',
      parse: occupants,
    });
  return (await readPages(size, fetchPage, { limit: size.pageSize, ceiling: size.pageSize })).rows;
}

const occupant = z.object({
  id: z.string(),
  name: z.string(),
  state_type: z.string().nullable(),
  work_queue_id: z.string().nullish(),
});
const occupants = plain(z.array(occupant));
export type Occupant = z.input<typeof occupant>;
