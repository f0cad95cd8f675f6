/** Beginnings that nobody but this service uses. What only begins with `PREFECT_` may be Prefect's own. */
const OWN = /^(PROXY_API_|PREFECT_PROXY_|PREFECT_NOTIFICATIONS_|HOST_WEBHOOK_|WEBHOOK_|RECONCILE_|SYNC_RUN_)/;
/** Read by libraries, by Prefect's server, and by hosts that share our file: the last one is where they find us. */
const OTHERS = /^(OTEL_|SENTRY_|PREFECT_UI_|PREFECT_PROXY_API_URL$)|_proxy$|^(FTP|RSYNC|SOCKS|WSS?)_PROXY$/;
/** What Kubernetes gives every container about the services around it, whatever they are called. */
const SERVICE_LINK = /_SERVICE_(HOST|PORT)(_|$)|_PORT(_\d+_|$)/;
/** Letters that a mistyped name differs by, at most. */
const TYPO = 2;
/** Names that are so short are like many others. */
const SHORT = 8;

export interface GivenNames {
  /** The variables that are set. */
  environment: readonly string[];
  /** Those of them that `.env` sets. */
  file: ReadonlySet<string>;
}

/**
 * Finds names that were meant for us and are none of ours: in `.env` what has a beginning of ours or looks like one of
 * ours mistyped; elsewhere what looks like a name of ours with such a beginning mistyped.
 * @returns a line for each
 */
export function unknownNames(given: GivenNames, known: readonly string[]): string[] {
  return suspects(given, known).flatMap(({ name, isInFile, meant }) => {
    if (!isInFile && meant === undefined) return [];
    return [`${name}: there is no such variable${meant === undefined ? '' : `; did you mean ${meant}?`}`];
  });
}

/**
 * Finds names outside of `.env` that have a beginning of ours: the environment is shared, so they may be another
 * program's (WEBHOOK_SECRET).
 * @returns a line for each
 */
export function strangeNames(given: GivenNames, known: readonly string[]): string[] {
  return suspects(given, known).flatMap(({ name, isInFile, meant }) =>
    isInFile || meant !== undefined ? [] : [`${name}: no variable of this service; it is ignored`],
  );
}

function suspects(given: GivenNames, known: readonly string[]) {
  return given.environment.flatMap((name) => {
    const isInFile = given.file.has(name);
    if (known.includes(name) || OTHERS.test(name) || (!isInFile && SERVICE_LINK.test(name))) return [];
    const [nearest] = known
      .map((other) => ({ other, distance: editDistance(name.toUpperCase(), other) }))
      .sort((one, two) => one.distance - two.distance);
    const isTypo = nearest !== undefined && nearest.distance <= (name.length > SHORT ? TYPO : 1);
    const isOurs = OWN.test(name) || (isTypo && (isInFile || name.startsWith('PREFECT_')));
    return isOurs ? [{ name, isInFile, meant: isTypo ? nearest.other : undefined }] : [];
  });
}

/** How many letters must be added, removed or changed to make one text of another. */
export function editDistance(one: string, two: string): number {
  let row = Array.from({ length: two.length + 1 }, (_, index) => index);
  for (const [index, letter] of Array.from(one).entries()) {
    const next = [index + 1];
    for (const [column, other] of Array.from(two).entries()) {
      const changed = (row[column] ?? 0) + (letter === other ? 0 : 1);
      next.push(Math.min(changed, (row[column + 1] ?? 0) + 1, (next[column] ?? 0) + 1));
    }
    row = next;
  }
  return row[two.length] ?? 0;
}
