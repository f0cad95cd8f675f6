import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { AppError } from '../errors.js';
import type { PrefectSession } from '../prefect/client.js';
import { parseRun } from '../prefect/ended-runs.js';
import * as logs from '../prefect/logs.js';
import type { PageSize } from '../prefect/pages.js';
import { readTasks } from './follow/result.js';
import { logRow } from './graph.js';

const taskResult = z.looseObject({ result: z.unknown() });
const withMessage = z.looseObject({ message: z.string().nullish() });

const ERROR_LEVEL = 40;
const LOG_LINES = 20;
const LOG_CEILING = 1_000;
/** Logs come in batches, up to some seconds after the run's end: how often, and after how many milliseconds, we look. */
const LOOKS = 5;
const LOOK_AGAIN_MS = 500;

/**
 * What a run of one task came to: the result that its flow wrote.
 * @param text the run, which has ended
 * @param failure `detail` of the error
 * @throws AppError 400 where it did not complete, with its state and the last lines of its errors; 502 where it
 *   completed and left no result
 */
export async function outcomeOf(
  api: PrefectSession,
  size: PageSize,
  text: string,
  failure: string,
): Promise<{ result: unknown }> {
  const { id, state } = parseRun(text);
  if (state?.type === 'COMPLETED') {
    const task = taskResult.safeParse((await readTasks(api, id))?.[0]);
    if (task.success) return { result: task.data.result };
    throw new AppError('orchestrator_failed', `flow run ${id} completed and left no result`);
  }
  throw new AppError('bad_request', failure, {
    upstream: {
      flow_run_id: id,
      state_type: state?.type,
      state_name: state?.name,
      message: withMessage.safeParse(state).data?.message ?? null,
      logs: await lastErrors(api, size, id),
    },
  });
}

/** The last lines of a run's errors; none where they cannot be read, for that it failed is known. */
async function lastErrors(api: PrefectSession, size: PageSize, id: string) {
  const filter = { flow_run_id: { any_: [id] }, level: { ge_: ERROR_LEVEL } };
  for (let look = 1; ; look += 1) {
    const { rows } = await logs.list(api, size, filter, { ceiling: LOG_CEILING }).catch(() => ({ rows: [] }));
    if (rows.length > 0 || look === LOOKS) return rows.slice(-LOG_LINES).map(logRow);
    await sleep(LOOK_AGAIN_MS);
  }
}
