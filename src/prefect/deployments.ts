import { z } from 'zod';
import type { PrefectSession } from './client.js';
import { readPages, type PageSize, type Rows } from './pages.js';
import { exact, nothing, rowCount, withId } from './parse.js';
import { path } from './path.js';

const schedule = z.object({
  id: z.string(),
  active: z.boolean(),
  slug: z.string().nullish(),
  parameters: z.record(z.string(), z.unknown()).optional(),
  schedule: z.looseObject({ cron: z.string().optional() }),
});

export type Schedule = z.input<typeof schedule>;

export const deployment = z.looseObject({
  id: z.string(),
  name: z.string(),
  tags: z.array(z.string()),
  paused: z.boolean(),
  schedules: z.array(schedule),
  parameters: z.record(z.string(), z.unknown()),
  entrypoint: z.string().nullable(),
  work_pool_name: z.string().nullable(),
});
const deploymentRows = exact(z.array(deployment));
export type Deployment = z.input<typeof deployment>;

/** A DeploymentCreate or DeploymentUpdate of Prefect's API, or a part of it. */
export type DeploymentFields = Record<string, unknown>;

/** `POST /deployments/`: creates it, or overwrites the one of that flow and name. @returns its id */
export async function upsert(api: PrefectSession, fields: DeploymentFields): Promise<string> {
  return (await api.post(path`/deployments/`, { body: fields, retry: 'idempotent', parse: withId })).id;
}

/** `GET /deployments/{id}` */
export function read(api: PrefectSession, id: string): Promise<Deployment> {
  return api.get(path`/deployments/${id}`, { retry: 'read', parse: exact(deployment) });
}

/** `PATCH /deployments/{id}`: only what is given changes. */
export async function update(api: PrefectSession, id: string, fields: DeploymentFields): Promise<void> {
  await api.patch(path`/deployments/${id}`, { body: fields, retry: 'idempotent', parse: nothing });
}

/** `DELETE /deployments/{id}` */
export function remove(api: PrefectSession, id: string): Promise<void> {
  return api.delete(path`/deployments/${id}`);
}

/** `POST /deployments/filter`, all pages, by name. */
export function list(
  api: PrefectSession,
  size: PageSize,
  query: Record<string, unknown>,
  ceiling: number,
): Promise<Rows<Deployment>> {
  const fetchPage = (limit: number, offset: number) =>
    api.post(path`/deployments/filter`, {
      body: { ...query, sort: 'NAME_ASC', limit, offset },
      retry: 'read',
      parse: deploymentRows,
    });
  const count = () => api.post(path`/deployments/count`, { body: query, retry: 'read', parse: rowCount });
  return readPages(size, fetchPage, { ceiling, count });
}

/**
 * `PATCH /deployments/{id}/schedules/{id}`: on or off; keeps the schedule's id and with it the runs it has planned.
 * The schedule's parameters go along: they are emptied where they are not given (3.6.29 and 3.8.8).
 */
export async function setScheduleActive(
  api: PrefectSession,
  id: string,
  { id: scheduleId, parameters }: Schedule,
  active: boolean,
): Promise<void> {
  const body = { active, ...(parameters ? { parameters } : {}) };
  await api.patch(path`/deployments/${id}/schedules/${scheduleId}`, {
    body,
    retry: 'idempotent',
    parse: nothing,
  });
}

/** `DELETE /deployments/{id}/schedules/{id}` */
export function removeSchedule(api: PrefectSession, id: string, scheduleId: string): Promise<void> {
  return api.delete(path`/deployments/${id}/schedules/${scheduleId}`);
}
