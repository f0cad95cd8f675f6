import { createHash } from 'node:crypto';

const LENGTH = 16;

/** Tells one host from another without showing where it is: a login in the URL does not count. */
export function fingerprint(url: string): string {
  const { origin, pathname, search } = new URL(url);
  return createHash('sha256').update(`${origin}${pathname}${search}`).digest('hex').slice(0, LENGTH);
}
