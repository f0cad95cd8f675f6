import { z } from 'zod';
import type { Message } from '../../host/webhook.js';
import type { EndedRun, TerminalType } from '../../prefect/ended-runs.js';
import { OWN_PREFIX } from './progress.js';

const id = z.string();
const time = z.string().nullable();

/** What a host is sent. Hosts that were there before this service read `body` and nothing else. */
export const webhookBody = z.object({
  body: z
    .string()
    .describe(
      'The sentence `Flow run NAME with id ID entered state STATE`. In NAME each character other than ASCII letters, ' +
        'digits and - is replaced by -; an empty name is -. STATE is the usual name of the type of the state.',
    ),
  flow_run: z
    .object({
      id: id.describe('UUID of the flow run'),
      name: z.string().describe('The name as it is'),
      flow_id: id.nullable(),
      deployment_id: id.nullable(),
      tags: z.array(z.string()),
      labels: z
        .record(z.string(), z.unknown())
        .describe("The run's labels, without those that begin with `prefect-proxy.`"),
      org_slug: z.string().nullable().describe("`config.org_slug` of the run's parameters, if it is a text"),
      state: z.object({
        id: id.describe('UUID of the state; the second half of the header `webhook-id`'),
        type: z.enum(['COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED']),
        name: z.string().describe('May be a name of its own, e.g. `DBT_TEST_FAILED` or `TimedOut`'),
        timestamp: z.string().describe('ISO 8601'),
        message: z.string().nullable().describe('The first 1000 characters'),
      }),
      expected_start_time: time,
      start_time: time,
      end_time: time,
      total_run_time: z.number().nullable().describe('Seconds'),
      run_count: z.number().nullable().describe('How often it has run, retries included'),
      work_pool_name: z.string().nullable(),
      work_queue_name: z.string().nullable(),
      source: z
        .enum(['run', 'state_change'])
        .describe(
          '`state_change`: the run itself could not be read (it was deleted, or has a label that Prefect cannot show). ' +
            'What is known then is the id, the name (unless it is empty) and the state; the rest may be null or empty',
        ),
    })
    .describe('The flow run as it was read for this message; its parameters are never part of it'),
});
export type WebhookBody = z.infer<typeof webhookBody>;

/** Hosts free their locks at these names only: a state that has a name of its own goes by its type's in the sentence. */
const STATE_NAMES: Record<TerminalType, string> = {
  COMPLETED: 'Completed',
  FAILED: 'Failed',
  CRASHED: 'Crashed',
  CANCELLED: 'Cancelled',
};
const MESSAGE_CHARACTERS = 1_000;

/** The same for each attempt at the same state of a run: hosts deduplicate by it. */
export function webhookId({ id: runId, state }: Pick<EndedRun, 'id'> & { state: { id: string } }): string {
  return `${runId}:${state.id}`;
}

export type Source = WebhookBody['flow_run']['source'];

/** The message about the end of a run. */
export function webhookMessage(run: EndedRun, source: Source = 'run'): Message {
  const body: WebhookBody = { body: sentence(run), flow_run: { ...flowRunOf(run), source } };
  const headers = source === 'run' ? {} : { headers: { 'x-flow-run-source': source } };
  return { id: webhookId(run), body: JSON.stringify(body), ...headers };
}

/** A name may read like the sentence itself, and hosts take the first match: no name gets out of its place. */
function sentence({ id: runId, name, state }: EndedRun): string {
  const safeName = name.replaceAll(/[^A-Za-z0-9-]/gu, '-') || '-';
  return `Flow run ${safeName} with id ${runId} entered state ${STATE_NAMES[state.type]}`;
}

function flowRunOf(run: EndedRun): Omit<WebhookBody['flow_run'], 'source'> {
  const { state } = run;
  return {
    id: run.id,
    name: run.name,
    flow_id: run.flow_id ?? null,
    deployment_id: run.deployment_id ?? null,
    tags: run.tags ?? [],
    labels: Object.fromEntries(
      Object.entries(run.labels ?? {}).filter(([name]) => !name.startsWith(OWN_PREFIX)),
    ),
    org_slug: organisation.safeParse(run.parameters).data?.config.org_slug ?? null,
    state: {
      id: state.id,
      type: state.type,
      name: state.name,
      timestamp: state.timestamp,
      message: firstCharacters(state.message),
    },
    expected_start_time: run.expected_start_time ?? null,
    start_time: run.start_time ?? null,
    end_time: run.end_time,
    total_run_time: run.total_run_time ?? null,
    run_count: run.run_count ?? null,
    work_pool_name: run.work_pool_name ?? null,
    work_queue_name: run.work_queue_name ?? null,
  };
}

/** Where the pipelines of hosts say whose they are. Nothing else of the parameters is looked at. */
const organisation = z.object({ config: z.object({ org_slug: z.string() }) });

/** Cut between characters, not within one. */
function firstCharacters(text: string | null | undefined): string | null {
  if (text === null || text === undefined || text.length <= MESSAGE_CHARACTERS) return text ?? null;
  return Array.from(text.slice(0, 2 * MESSAGE_CHARACTERS))
    .slice(0, MESSAGE_CHARACTERS)
    .join('');
}
