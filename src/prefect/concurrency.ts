import { z } from 'zod';
import type { PrefectSession } from './client.js';
import { readPages, type PageSize } from './pages.js';
import { nothing, plain } from './parse.js';
import { path } from './path.js';

const tagLimit = z.object({
  id: z.string(),
  tag: z.string(),
  concurrency_limit: z.number(),
  active_slots: z.array(z.string()),
});
const oneTagLimit = plain(tagLimit);
const tagLimits = plain(z.array(tagLimit));
export type TagLimit = z.input<typeof tagLimit>;

const globalLimits = plain(z.array(z.object({ id: z.string(), name: z.string(), active_slots: z.number() })));

/** The limit of a tag is a global limit of this name. */
const TAG = 'tag:';
/** More limits than any server has. */
const LIST_CEILING = 10_000;

interface HeldTagsWanted {
  /** Tags; all where it is not given. */
  among?: ReadonlySet<string>;
  /** Whether the server may know tags in the second list only; asked where the first one has none. */
  mayHaveOld?: () => Promise<boolean>;
}

/**
 * The limits of tags that are held now, each with the task runs that hold its slots: `POST /v2/concurrency_limits/filter`,
 * all pages, and `GET /concurrency_limits/tag/{tag}` for those. Prefect's own list of tag limits cannot be paged: it
 * counts other limits and then leaves them out (3.6.29 and 3.8.8). Servers that know tags only there have none in the first.
 */
export async function listHeldTags(
  api: PrefectSession,
  size: PageSize,
  { among, mayHaveOld = () => Promise.resolve(true) }: HeldTagsWanted = {},
): Promise<TagLimit[]> {
  const isWanted = (tag: string) => among?.has(tag) ?? true;
  const fetchPage = (limit: number, offset: number) =>
    api.post(path`/v2/concurrency_limits/filter`, {
      body: { limit, offset },
      retry: 'read',
      parse: globalLimits,
    });
  const { rows } = await readPages(size, fetchPage, { ceiling: LIST_CEILING });
  const tags = rows.filter(({ name }) => name.startsWith(TAG));
  if (tags.length === 0 && !(await mayHaveOld())) return [];
  if (tags.length === 0) return (await listOldTags(api, size)).filter(({ tag }) => isWanted(tag));
  const held = tags.filter((limit) => limit.active_slots > 0).map(({ name }) => name.slice(TAG.length));
  return Promise.all(held.filter(isWanted).map((tag) => readTag(api, tag)));
}

async function readTag(api: PrefectSession, tag: string): Promise<TagLimit> {
  return api.get(path`/concurrency_limits/tag/${tag}`, { retry: 'read', parse: oneTagLimit });
}

async function listOldTags(api: PrefectSession, size: PageSize): Promise<TagLimit[]> {
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
