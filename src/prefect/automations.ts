import { z } from 'zod';
import type { PrefectSession } from './client.js';
import { readPages, type PageSize } from './pages.js';
import { nothing, plain, withId } from './parse.js';
import { path } from './path.js';

const automation = z.looseObject({
  id: z.string(),
  name: z.string(),
  created: z.string(),
  enabled: z.boolean(),
  trigger: z.record(z.string(), z.unknown()),
  actions: z.array(z.record(z.string(), z.unknown())),
});
const automations = plain(z.array(automation));
export type Automation = z.input<typeof automation>;

/** The parts of an automation that are written. */
export interface AutomationFields {
  name: string;
  description: string;
  trigger: Record<string, unknown>;
  actions: Record<string, unknown>[];
}

/** Automations that are read at most. */
const CEILING = 10_000;

/** `POST /automations/filter`, all pages: those of a name (several may have it), or all. */
export async function list(api: PrefectSession, size: PageSize, name?: string): Promise<Automation[]> {
  const filter = name === undefined ? {} : { automations: { name: { any_: [name] } } };
  const fetchPage = (limit: number, offset: number) =>
    api.post(path`/automations/filter`, {
      body: { ...filter, sort: 'NAME_ASC', limit, offset },
      retry: 'read',
      parse: automations,
    });
  return (await readPages(size, fetchPage, { ceiling: CEILING })).rows;
}

/** `POST /automations/`, switched on. Names need not be unique: twice makes two. @returns its id */
export async function create(api: PrefectSession, fields: AutomationFields): Promise<string> {
  const body = { ...fields, enabled: true };
  return (await api.post(path`/automations/`, { body, retry: 'create', parse: withId })).id;
}

/** `PATCH /automations/{id}`: switches it on, which is all that can be changed by PATCH. */
export async function enable(api: PrefectSession, id: string): Promise<void> {
  await api.patch(path`/automations/${id}`, {
    body: { enabled: true },
    retry: 'idempotent',
    parse: nothing,
  });
}

/** `DELETE /automations/{id}` */
export function remove(api: PrefectSession, id: string): Promise<void> {
  return api.delete(path`/automations/${id}`);
}
