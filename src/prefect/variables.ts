import { z } from 'zod';
import type { PrefectSession } from './client.js';
import { UpstreamError } from './errors.js';
import { nothing, plain, withId } from './parse.js';
import { path } from './path.js';

const variable = plain(z.object({ value: z.unknown() }));

/** `GET /variables/name/{name}`: its value; undefined where there is no such variable. */
export async function read(api: PrefectSession, name: string): Promise<unknown> {
  try {
    return (await api.get(path`/variables/name/${name}`, { retry: 'read', parse: variable })).value;
  } catch (error) {
    if (error instanceof UpstreamError && error.isNotFound) return undefined;
    throw error;
  }
}

/** `PATCH /variables/name/{name}`, or `POST /variables/` where there is none yet. Of two at once, one value stays. */
export async function write(api: PrefectSession, name: string, value: unknown): Promise<void> {
  const update = () =>
    api.patch(path`/variables/name/${name}`, {
      body: { value },
      retry: 'idempotent',
      parse: nothing,
    });
  try {
    await update();
  } catch (error) {
    if (!(error instanceof UpstreamError && error.isNotFound)) throw error;
    try {
      await api.post(path`/variables/`, { body: { name, value }, retry: 'create', parse: withId });
    } catch (conflict) {
      if (!(conflict instanceof UpstreamError && conflict.isConflict)) throw conflict;
      await update();
    }
  }
}
