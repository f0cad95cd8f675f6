import { z } from 'zod';
import type { PrefectSession } from './client.js';
import { plain } from './parse.js';
import { path } from './path.js';

const event = z.looseObject({
  id: z.string(),
  event: z.string(),
  occurred: z.string(),
  related: z.array(z.record(z.string(), z.unknown())),
  payload: z.record(z.string(), z.unknown()),
});
const page = plain(z.object({ events: z.array(event) }));
export type LoggedEvent = z.input<typeof event>;

/** An EventFilter of Prefect's API. */
export interface EventQuery {
  id?: { id: string[] };
  event?: { name: string[] };
  resource?: { id: string[] };
}

/**
 * `POST /events/filter`: the newest 50 events. They are listed seconds after they happened.
 * @param since ISO time
 */
export async function list(api: PrefectSession, since: string, query: EventQuery): Promise<LoggedEvent[]> {
  const body = { filter: { occurred: { since }, ...query }, limit: 50 };
  return (await api.post(path`/events/filter`, { body, retry: 'read', parse: page })).events;
}
