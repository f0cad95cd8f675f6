/** @returns what says whether one more of a kind fits into this minute */
export function perMinute(most: number, now: () => number = Date.now): (kind: string) => boolean {
  const counts = new Map<string, number>();
  let minute = 0;
  return (kind) => {
    const current = Math.floor(now() / 60_000);
    if (current !== minute) counts.clear();
    minute = current;
    const count = (counts.get(kind) ?? 0) + 1;
    counts.set(kind, count);
    return count <= most;
  };
}
