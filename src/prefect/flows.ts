import type { PrefectSession } from './client.js';
import { withId } from './parse.js';
import { path } from './path.js';

/** `POST /flows/`: the id of the flow of that name, made where it is not there yet. */
export async function ensure(api: PrefectSession, name: string): Promise<string> {
  return (await api.post(path`/flows/`, { body: { name }, retry: 'idempotent', parse: withId })).id;
}
