import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { jsonOrText } from '../json.js';
import { isUnknownRoute, prefectSaid } from './error-body.js';
import { UpstreamError } from './errors.js';
import type { RawReply } from './exchange.js';
import { replyError } from './reply-error.js';

const csrfToken = z.object({ token: z.string(), expiration: z.string() });

/** Asks for `GET /csrf-token?client=`. */
export type FetchToken = (client: string) => Promise<RawReply>;

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

  /**
   * Fetches a token; callers at once share one fetch.
   * @returns false if the server has CSRF switched off (422), or knows no such route (404)
   * @throws UpstreamError for any other answer, a 4xx that Prefect did not write included
   */
  refresh(fetchToken: FetchToken): Promise<boolean> {
    this.refreshing ??= this.fetch(fetchToken).finally(() => (this.refreshing = undefined));
    return this.refreshing;
  }

  private async fetch(fetchToken: FetchToken): Promise<boolean> {
    const reply = await fetchToken(this.client);
    if (isWithoutCsrf(reply)) return false;
    if (reply.status !== 200) throw replyError(reply);
    const parsed = csrfToken.safeParse(jsonOrText(reply.text));
    if (!parsed.success) throw new UpstreamError('shape', { status: reply.status });
    this.token = parsed.data.token;
    this.expires = Date.parse(parsed.data.expiration);
    return true;
  }
}

function isWithoutCsrf(reply: RawReply): boolean {
  return (reply.status === 422 && prefectSaid(reply) !== undefined) || isUnknownRoute(reply);
}
