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

const ERROR_LEVEL = 40;
const LOG_LINES = 20;
/** Logs come in batches, up to some seconds after the run's end: how often, and after how many milliseconds, we look. */
const LOOKS = 4;
const LOOK_AGAIN_MS = 500;

/**
 * What a run of one task came to: the result that its flow wrote.
 * @param text the run, which has ended
 * @param failure `detail` of the error
 * @throws AppError 400 where it did not complete: with the run's id, its state and the last lines of its errors
 */
export async function outcomeOf(
  api: PrefectSession,
  size: PageSize,
  text: string,
  failure: string,
): Promise<{ result: unknown }> {
  const { id, state } = parseRun(text);
  if (state?.type === 'COMPLETED') {
    const tasks = await readTasks(api, id);
    const task = taskResult.safeParse(tasks?.[0]);
    if (task.success) return { result: task.data.result };
  }
  throw new AppError('bad_request', failure, {
    headers: { 'x-flow-run-id': id },
    upstream: {
      flow_run_id: id,
      state_type: state?.type,
      state_name: state?.name,
      logs: await lastErrors(api, size, id),
    },
  });
}

async function lastErrors(api: PrefectSession, size: PageSize, id: string) {
  for (let look = 1; ; look += 1) {
    const filter = { flow_run_id: { any_: [id] }, level: { ge_: ERROR_LEVEL } };
    const { rows } = await logs.list(api, size, filter, { ceiling: 1_000 });
    if (rows.length > 0 || look === LOOKS) return rows.slice(-LOG_LINES).map(logRow);
    await sleep(LOOK_AGAIN_MS);
  }
}
