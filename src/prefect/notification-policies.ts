import { z } from 'zod';
import type { PrefectSession } from './client.js';
import { readPages, type PageSize } from './pages.js';
import { nothing, plain, withId } from './parse.js';
import { path } from './path.js';

/* Flow run notification policies: Prefect's servers have them up to 3.3. */

const policy = z.looseObject({
  id: z.string(),
  created: z.string(),
  is_active: z.boolean(),
  block_document_id: z.string(),
});
const policies = plain(z.array(policy));
export type NotificationPolicy = z.input<typeof policy>;

/** The parts of a policy that are written. */
export interface PolicyFields {
  /** Names of states; every state where the list is empty. */
  state_names: string[];
  tags: string[];
  block_document_id: string;
  message_template: string;
}

/** Policies that are read at most. */
const CEILING = 10_000;

/** `POST /flow_run_notification_policies/filter`, all pages. */
export async function list(api: PrefectSession, size: PageSize): Promise<NotificationPolicy[]> {
  const fetchPage = (limit: number, offset: number) =>
    api.post(path`/flow_run_notification_policies/filter`, {
      body: { limit, offset },
      retry: 'read',
      parse: policies,
    });
  return (await readPages(size, fetchPage, { ceiling: CEILING })).rows;
}

/** `POST /flow_run_notification_policies/`, switched on. @returns its id */
export async function create(api: PrefectSession, fields: PolicyFields): Promise<string> {
  const body = { ...fields, is_active: true };
  return (await api.post(path`/flow_run_notification_policies/`, { body, retry: 'create', parse: withId }))
    .id;
}

/** `PATCH /flow_run_notification_policies/{id}`: switches it on. */
export async function enable(api: PrefectSession, id: string): Promise<void> {
  await api.patch(path`/flow_run_notification_policies/${id}`, {
    body: { is_active: true },
    retry: 'idempotent',
    parse: nothing,
  });
}

/** `DELETE /flow_run_notification_policies/{id}` */
export function remove(api: PrefectSession, id: string): Promise<void> {
  return api.delete(path`/flow_run_notification_policies/${id}`);
}
