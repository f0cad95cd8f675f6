import { z } from 'zod';
import type { PrefectSession } from './client.js';
import { UpstreamError } from './errors.js';
import { plain } from './parse.js';
import type { ApiPath } from './path.js';

export interface NewState {
  type: string;
  name: string;
  message?: string;
  state_details?: { scheduled_time?: string };
}

const orchestrationResult = z.object({
  state: z.object({ type: z.string() }).nullish(),
  status: z.enum(['ACCEPT', 'REJECT', 'ABORT', 'WAIT']),
  details: z.object({ reason: z.string().nullish() }).nullish(),
});

/**
 * A `set_state` route. Not repeated once sent: the first one may have taken effect and the run moved on since.
 * @param orElse a state type that is as good: a queued run that is asked to be CANCELLING is CANCELLED at once, and
 *   the answer to that is REJECT with the new state
 * @throws UpstreamError 409 where the orchestrator rejects or aborts the change (its 2xx is no success), 503 where it says WAIT
 */
export async function setState(
  api: PrefectSession,
  url: ApiPath,
  state: NewState,
  force: boolean | string,
  orElse?: string,
): Promise<void> {
  const result = await api.post(url, {
    body: { state, force },
    retry: 'unsafe',
    parse: plain(orchestrationResult),
  });
  if (result.status === 'ACCEPT' || (orElse !== undefined && result.state?.type === orElse)) return;
  throw new UpstreamError('status', {
    status: result.status === 'WAIT' ? 503 : 409,
    explanation: result.details?.reason ?? `state change: ${result.status}`,
  });
}
