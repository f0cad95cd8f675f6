import { z } from 'zod';
import type { PrefectSession } from './client.js';
import { plain } from './parse.js';
import { path } from './path.js';

/** Also of a build that is no release: `3.8.8.dev1+12.gabc`, `0+unknown`. Any other text is somebody else's. */
const text = plain(z.string().regex(/^\d+[.+][\w.+-]{1,100}$/));

/** `GET /admin/version`: Prefect's version, e.g. `3.8.8`. @throws UpstreamError, `shape` for what is no version */
export function version(api: PrefectSession): Promise<string> {
  return api.get(path`/admin/version`, { retry: 'read', parse: text });
}

/** Whether a version such as `3.8.8` or `3.9.1.dev3` is this one or a later one. */
export function isAtLeast(given: string, major: number, minor: number): boolean {
  const [ours = 0, its = 0] = given.split('.').map(Number);
  return ours > major || (ours === major && its >= minor);
}
