import { z } from 'zod';
import { AppError } from '../../errors.js';
import { jsonOrText } from '../../json.js';
import * as artifacts from '../../prefect/artifacts.js';
import type { PrefectSession } from '../../prefect/client.js';
import { isEnded, parseRun } from '../../prefect/ended-runs.js';
import type { RunPoller } from '../poll.js';

/** What the flows of `flows/` write. */
const KEY = 'task-results';
const TYPE = 'result';

const data = z.looseObject({ tasks: z.array(z.unknown()) });

/**
 * What the tasks of a run came to: the artifact that its flow wrote. Nothing is ever unpickled.
 * @throws AppError 409 while the run has not ended, 404 where its flow wrote no result
 */
export async function readResult(api: PrefectSession, poller: RunPoller, id: string) {
  const [text, found] = await Promise.all([poller.poll(api, id), newestResult(api, id)]);
  const run = parseRun(text);
  const state = run.state?.name ?? 'in no state';
  if (!isEnded(run)) throw new AppError('conflict', `flow_run ${id} has not ended: it is ${state}`);
  if (!found)
    throw new AppError('not_found', `flow_run ${id} ended as ${state} and has no result (artifact ${KEY})`);
  return { flow_run_id: id, state_type: run.state.type, state_name: run.state.name, ...found };
}

/** The entries of a run's result, one for each task; undefined where its flow wrote none. @throws UpstreamError */
export async function readTasks(api: PrefectSession, id: string): Promise<unknown[] | undefined> {
  return (await newestResult(api, id))?.tasks;
}

async function newestResult(api: PrefectSession, id: string) {
  const artifact = await artifacts.newest(api, { flowRunId: id, key: KEY, type: TYPE });
  if (!artifact) return undefined;
  // Prefect gives the data back as they were sent: JSON, or the text of it.
  const value = typeof artifact.data === 'string' ? jsonOrText(artifact.data) : artifact.data;
  const found = data.safeParse(value);
  return found.success ? { created: artifact.created, tasks: found.data.tasks } : undefined;
}
