import { jsonOrText } from '../../json.js';
import * as blocks from '../../prefect/blocks.js';
import type { PrefectSession } from '../../prefect/client.js';
import * as concurrency from '../../prefect/concurrency.js';
import * as deployments from '../../prefect/deployments.js';
import { inlineFamily, type EndedRun } from '../../prefect/ended-runs.js';
import { UpstreamError } from '../../prefect/errors.js';
import type { PageSize } from '../../prefect/pages.js';
import { idsWithin } from '../../prefect/task-runs.js';
import { resources, type Resources } from '../../schemas/resources.js';
import { LABELS } from './progress.js';

const NOTHING: Resources = { block_documents: [], deployments: [], concurrency_leases: [] };

/** What a run declared; nothing where its label is absent, `unreadable` where it is not ours. */
export function declaredBy({ labels }: EndedRun): Resources | 'unreadable' {
  const label = labels?.[LABELS.cleanup];
  if (label === undefined || label === '') return NOTHING;
  const parsed = resources.safeParse(typeof label === 'string' ? jsonOrText(label) : label);
  return parsed.success ? parsed.data : 'unreadable';
}

/**
 * Deletes and gives back what a run declared. Every step is tried; what is gone already is success.
 * @throws Error the first failure, when all steps are done
 */
export async function releaseDeclared(api: PrefectSession, held: Resources): Promise<void> {
  await all([
    ...held.concurrency_leases.map((id) => concurrency.releaseLease(api, id)),
    ...held.block_documents.map((id) => ifThere(blocks.remove(api, id))),
    ...held.deployments.map((id) => ifThere(deployments.remove(api, id))),
  ]);
}

/**
 * Frees the slots that Prefect leaves held when a run did not end by itself: those of tags by task runs of its
 * process, and the lease of its deployment's limit. A holder is named each time, so that doing it twice changes nothing.
 */
export async function releaseSlots(api: PrefectSession, size: PageSize, run: EndedRun): Promise<void> {
  if (run.state.type === 'COMPLETED') return;
  const lease = run.state.state_details?.deployment_concurrency_lease_id;
  await all([releaseTagSlots(api, size, run.id), ...(lease ? [concurrency.releaseLease(api, lease)] : [])]);
}

async function releaseTagSlots(api: PrefectSession, size: PageSize, flowRunId: string): Promise<void> {
  const limits = await concurrency.listHeldTags(api, size);
  const holders = [...new Set(limits.flatMap((limit) => limit.active_slots))];
  if (holders.length === 0) return;
  const ours = await idsWithin(api, size, holders, await inlineFamily(api, size, flowRunId));
  await all(
    ours.map((taskRunId) => {
      const tags = limits.filter((limit) => limit.active_slots.includes(taskRunId)).map(({ tag }) => tag);
      return concurrency.releaseTags(api, tags, taskRunId);
    }),
  );
}

async function ifThere(removal: Promise<void>): Promise<void> {
  await removal.catch((error: unknown) => {
    if (!(error instanceof UpstreamError && error.isNotFound)) throw error;
  });
}

/** Waits for all of them, then fails with the first failure. */
async function all(steps: Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(steps)).find((step) => step.status === 'rejected');
  if (failed) throw failed.reason;
}
