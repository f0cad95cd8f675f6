import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { jsonOrText } from '../json.js';
import { UpstreamError } from './errors.js';

const csrfToken = z.object({ token: z.string(), expiration: z.string() });

/** Asks for `GET /csrf-token?client=`: status and body text. */
export type FetchToken = (client: string) => Promise<{ status: number; text: string }>;

/**
 * The CSRF token of this process. Prefect keeps one token per client id, so each process has an id of its own;
 * a second process with the same id would take the first one's token away.
 */
export class CsrfToken {
  private readonly client = randomUUID();
  private token: string | undefined;
  private expires = 0;
  private refreshing: Promise<boolean> | undefined;

  /** Headers for a write: none until the orchestrator has once asked for a token. */
  headers(): Record<string, string> {
    return this.token ? { 'prefect-csrf-token': this.token, 'prefect-csrf-client': this.client } : {};
  }

  /** Whether the known token is about to end, so that a new one is fetched before the next write. */
  get isStale(): boolean {
    return this.token !== undefined && Date.now() > this.expires - 30_000;
  }

  /** Fetches a token; callers at once share one fetch. @returns false where the server has CSRF switched off */
  refresh(fetchToken: FetchToken): Promise<boolean> {
    this.refreshing ??= this.fetch(fetchToken).finally(() => (this.refreshing = undefined));
    return this.refreshing;
  }

  private async fetch(fetchToken: FetchToken): Promise<boolean> {
    const { status, text } = await fetchToken(this.client);
    if (status !== 200) return false;
    const parsed = csrfToken.safeParse(jsonOrText(text));
    if (!parsed.success) throw new UpstreamError('shape', { status });
    this.token = parsed.data.token;
    this.expires = Date.parse(parsed.data.expiration);
    return true;
  }
}
