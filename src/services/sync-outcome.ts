import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { AppError } from '../errors.js';
import { truncated } from '../lib/text.js';
import type { PrefectSession } from '../prefect/client.js';
import { parseRun } from '../prefect/ended-runs.js';
import * as logs from '../prefect/logs.js';
import type { PageSize } from '../prefect/pages.js';
import { readTasks } from './follow/result.js';

const taskResult = z.looseObject({ result: z.unknown() });

const ERROR_LEVEL = 40;
const LOG_LINES = 20;
/** In code points. */
const LINE_LENGTH = 2_000;
/** What Prefect adds to every failure: the state, which is told anyway, and a traceback of its own. */
const NOISE = /^(?:Finished in state |Engine execution exited with unexpected exception)/;
/** Logs come in batches, up to some seconds after the run's end: how often, and after how many milliseconds, we look. */
const LOOKS = 5;
const LOOK_AGAIN_MS = 500;

/**
 * What a run of one task came to: the result that its flow wrote.
 * @param text the run, which has ended
 * @param failure `detail` of the error
 * @throws AppError 400 where it did not complete, with its state and the last lines of its logs; 502 where it
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
      message: state?.message ?? null,
      logs: await lastLines(api, size, id, state?.type !== 'CANCELLED'),
    },
  });
}

/**
 * The last lines of a failed run's logs, the oldest first: what its commands wrote last is there at INFO, and why the
 * flow failed at ERROR. None where they cannot be read, for that it failed is known.
 * @param hasError whether the latter is waited for
 */
async function lastLines(api: PrefectSession, size: PageSize, id: string, hasError: boolean) {
  const wanted = { flowRunIds: [id], limit: LOG_LINES + 2, newestFirst: true };
  for (let look = 1; ; look += 1) {
    const rows = await logs.ofRuns(api, size, wanted).catch((): logs.Log[] => []);
    const lines = rows.filter(({ message }) => !NOISE.test(message)).slice(0, LOG_LINES);
    const isWhole = !hasError || look === LOOKS || lines.some(({ level }) => level >= ERROR_LEVEL);
    if (isWhole) return lines.reverse().map(view);
    await sleep(LOOK_AGAIN_MS);
  }
}

function view({ level, timestamp, message }: logs.Log) {
  return { level, timestamp, message: truncated(message, LINE_LENGTH) };
}
