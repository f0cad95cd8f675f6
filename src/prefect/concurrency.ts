import { z } from 'zod';
import type { PrefectSession } from './client.js';
import { readPages, type PageSize } from './pages.js';
import { nothing, plain } from './parse.js';
import { path } from './path.js';

const tagLimit = z.object({ id: z.string(), tag: z.string(), active_slots: z.array(z.string()) });
const tagLimits = plain(z.array(tagLimit));
export type TagLimit = z.input<typeof tagLimit>;

/** More tags than any server has limits for. */
const LIST_CEILING = 10_000;

/** `POST /concurrency_limits/filter`, all pages: the limits of tags, each with the task runs that hold its slots. */
export async function listTagLimits(api: PrefectSession, size: PageSize): Promise<TagLimit[]> {
  const fetchPage = (limit: number, offset: number) =>
    api.post(path`/concurrency_limits/filter`, { body: { limit, offset }, retry: 'read', parse: tagLimits });
  return (await readPages(size, fetchPage, { ceiling: LIST_CEILING })).rows;
}

/** `POST /concurrency_limits/decrement`: a task run gives up its slots of some tags. Nothing happens where it holds none. */
export async function releaseTags(api: PrefectSession, tags: string[], taskRunId: string): Promise<void> {
  await api.post(path`/concurrency_limits/decrement`, {
    body: { names: tags, task_run_id: taskRunId },
    retry: 'idempotent',
    parse: plain(z.array(z.unknown())),
  });
}

/** `POST /v2/concurrency_limits/decrement-with-lease`: nothing happens where the lease is gone. */
export async function releaseLease(api: PrefectSession, leaseId: string): Promise<void> {
  await api.post(path`/v2/concurrency_limits/decrement-with-lease`, {
    body: { lease_id: leaseId },
    retry: 'idempotent',
    parse: nothing,
  });
}
