import { z } from 'zod';
import type { PrefectSession } from './client.js';
import { TERMINAL } from './ended-runs.js';
import { plain } from './parse.js';
import { path } from './path.js';

const MOST = 1_000;
const ids = plain(z.array(z.object({ id: z.string() })));

/**
 * `POST /ui/flow_runs/history`: the ids of the latest 1,000 top-level runs that ended since a time. It reads no labels, and
 * so shows runs that every other route answers with a 500 for a label that is null (3.6.29 and 3.8.8).
 * @param from ISO time
 */
export async function listEndedIds(api: PrefectSession, from: string): Promise<string[]> {
  const body = {
    sort: 'END_TIME_DESC',
    limit: MOST,
    flow_runs: {
      end_time: { after_: from },
      state: { type: { any_: TERMINAL } },
      parent_task_run_id: { is_null_: true },
    },
  };
  const found = await api.post(path`/ui/flow_runs/history`, { body, retry: 'read', parse: ids });
  return found.map(({ id }) => id);
}
