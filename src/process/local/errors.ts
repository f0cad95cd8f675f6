/** A reason why the local stack cannot run, in words for the person at the terminal. */
export class LocalStackError extends Error {
  override readonly name = 'LocalStackError';
}

/** Ends every message about a missing part: there is always the other way. */
export const OTHER_WAY = 'Or set PREFECT_API_URL to a Prefect server that runs already.';
