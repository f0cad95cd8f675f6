import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { PrefectSession } from './client.js';
import { plain, withId } from './parse.js';
import { path } from './path.js';

/* Flow runs without a deployment. No worker takes them: whoever makes one sets its states. */

const run = z.object({
  state: z.object({ id: z.string(), timestamp: z.string() }),
  labels: z.record(z.string(), z.unknown()).nullish(),
});
export type SingleRun = z.input<typeof run>;

/** `POST /flow_runs/`, PENDING; a repetition does not make a second one. @returns its id */
export async function create(api: PrefectSession, flowId: string, name: string): Promise<string> {
  const body = { flow_id: flowId, name, idempotency_key: `prefect-proxy-${randomUUID()}` };
  return (await api.post(path`/flow_runs/`, { body, retry: 'idempotent', parse: withId })).id;
}

/** `GET /flow_runs/{id}`: its state and labels. */
export function read(api: PrefectSession, id: string): Promise<SingleRun> {
  return api.get(path`/flow_runs/${id}`, { retry: 'read', parse: plain(run) });
}
