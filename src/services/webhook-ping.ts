import { jsonOrText } from '../json.js';
import type { WebhookTarget } from './webhook-target.js';

const TIMEOUT_MS = 5_000;

/**
 * Posts to the receiver as the orchestrator would, with a text that says nothing.
 * @returns what is wrong with the answer; undefined where it is the facade's. Never holds the key.
 */
export async function pingReceiver({ url, key }: WebhookTarget): Promise<string | undefined> {
  try {
    const reply = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'X-Notification-Key': key },
      body: JSON.stringify({ body: 'Is this the webhook of prefect-proxy?' }),
      // Prefect follows none.
      redirect: 'manual',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await reply.text();
    if (reply.status === 401 || reply.status === 403) return `${url} refuses the key: ${reply.status}`;
    if (!reply.ok) return `${url} answers ${reply.status}`;
    return isOk(text) ? undefined : `${url} answers ${reply.status}, but not as a facade does`;
  } catch (error) {
    return `${url} cannot be reached from here: ${reasonOf(error)}`;
  }
}

function isOk(text: string): boolean {
  const reply = jsonOrText(text);
  return typeof reply === 'object' && reply !== null && 'status' in reply && reply.status === 'ok';
}

/** A code like ECONNREFUSED; the message could hold what was sent. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  const cause = error.cause instanceof Error && 'code' in error.cause ? String(error.cause.code) : undefined;
  return cause ?? error.name;
}
