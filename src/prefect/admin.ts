import { z } from 'zod';
import type { PrefectSession } from './client.js';
import { plain } from './parse.js';
import { path } from './path.js';

const text = plain(z.string());

/** `GET /admin/version`: the orchestrator's version, e.g. `3.8.8`. */
export function version(api: PrefectSession): Promise<string> {
  return api.get(path`/admin/version`, { retry: 'read', parse: text });
}
