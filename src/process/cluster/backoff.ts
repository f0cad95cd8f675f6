const FIRST_MS = 100;
const LONGEST_MS = 30_000;

/** How long to wait before the next start, in milliseconds. @param failures workers in a row that ended at once */
export function backoff(failures: number): number {
  return failures <= 1 ? 0 : Math.min(FIRST_MS * 2 ** (failures - 2), LONGEST_MS);
}
