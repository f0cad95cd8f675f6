import { z } from 'zod';
import type { PrefectSession } from './client.js';
import { exact } from './parse.js';
import { path } from './path.js';

const artifact = z.object({ id: z.string(), created: z.string(), data: z.unknown() });
const artifacts = exact(z.array(artifact));
export type Artifact = z.input<typeof artifact>;

/** `POST /artifacts/filter`: the newest artifact of a run with a key and a type, its numbers as they were written. */
export async function newest(
  api: PrefectSession,
  wanted: { flowRunId: string; key: string; type: string },
): Promise<Artifact | undefined> {
  const { flowRunId, key, type } = wanted;
  const found = await api.post(path`/artifacts/filter`, {
    body: {
      artifacts: { flow_run_id: { any_: [flowRunId] }, key: { any_: [key] }, type: { any_: [type] } },
      sort: 'CREATED_DESC',
      limit: 1,
    },
    retry: 'read',
    parse: artifacts,
  });
  return found[0];
}
