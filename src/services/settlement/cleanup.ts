import pLimit from 'p-limit';
import { jsonOrText } from '../../json.js';
import { isAtLeast, version } from '../../prefect/admin.js';
import * as blocks from '../../prefect/blocks.js';
import type { PrefectClient } from '../../prefect/client.js';
import * as concurrency from '../../prefect/concurrency.js';
import * as deployments from '../../prefect/deployments.js';
import { inlineFamily, type EndedRun } from '../../prefect/ended-runs.js';
import { UpstreamError } from '../../prefect/errors.js';
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

/** Writes at the same time: SQLite has one writer, and answers 503 to the others. */
const WRITES_AT_ONCE = 2;

/** Milliseconds from the beginning of one list of held slots to that of the next. */
const LIST_EVERY_MS = 1_000;

/** Milliseconds for which a server's version counts: it may be replaced by an older one. */
const VERSION_MS = 600_000;

/** A run left the state that was to be cleaned up after. */
export class LivesAgain extends Error {}

/** Gives back what runs hold. Every step is tried; what is gone already is success. */
export class Cleanup {
  private readonly writing = pLimit(WRITES_AT_ONCE);
  /** The list that is read next; runs that end until then share it. */
  private heldTags: Promise<concurrency.TagLimit[]> | undefined;
  private lastListMs = -Infinity;
  private isNewServer: boolean | undefined;
  private versionAskedMs = -Infinity;

  constructor(private readonly client: PrefectClient) {}

  /**
   * Deletes and gives back what a run declared, unless it lives again by the time it is its turn.
   * @param hasEnded reads the run
   * @throws Error the first failure, when all steps are done
   */
  releaseDeclared(held: Resources, hasEnded: () => Promise<boolean>): Promise<void> {
    const session = () => this.client.session();
    return this.writing(async () => {
      if (!(await hasEnded())) throw new LivesAgain();
      await all([
        ...held.concurrency_leases.map((id) => concurrency.releaseLease(session(), id)),
        ...held.block_documents.map((id) => ifThere(blocks.remove(session(), id))),
        ...held.deployments.map((id) => ifThere(deployments.remove(session(), id))),
      ]);
    });
  }

  /**
   * Frees the slots that Prefect leaves held where a run's tasks did not end by themselves: those of tags by task runs of
   * its process, and the lease of its deployment's limit. A holder is named each time, so that doing it twice changes nothing.
   * @throws Error the first failure, when all steps are done
   */
  async releaseSlots({ id, state }: EndedRun): Promise<void> {
    const lease = state.state_details?.deployment_concurrency_lease_id;
    await all([
      this.releaseTagSlots(id),
      ...(lease ? [this.write(() => concurrency.releaseLease(this.client.session(), lease))] : []),
    ]);
  }

  private async releaseTagSlots(flowRunId: string): Promise<void> {
    const { client } = this;
    const limits = await this.listHeldTags();
    const holders = [...new Set(limits.flatMap((limit) => limit.active_slots))];
    if (holders.length === 0) return;
    const family = await inlineFamily(client.session(), client, flowRunId);
    const ours = await idsWithin(client.session(), client, holders, family);
    await all(
      ours.map((taskRunId) => {
        const tags = limits.filter((limit) => limit.active_slots.includes(taskRunId)).map(({ tag }) => tag);
        return this.write(() => concurrency.releaseTags(client.session(), tags, taskRunId));
      }),
    );
  }

  /** One list a second serves all runs that ended before it was begun. */
  private listHeldTags(): Promise<concurrency.TagLimit[]> {
    this.heldTags ??= new Promise((resolve, reject) => {
      const wait = Math.max(0, this.lastListMs + LIST_EVERY_MS - performance.now());
      setTimeout(() => {
        this.heldTags = undefined;
        this.lastListMs = performance.now();
        concurrency
          .listHeldTags(this.client.session(), this.client, { mayHaveOld: () => this.mayHaveOldTags() })
          .then(resolve, reject);
      }, wait);
    });
    return this.heldTags;
  }

  /** From 3.6 on (3.6.29, 3.8.8: `server/api/concurrency_limits.py`) the limits of tags are global limits, all of them. */
  private async mayHaveOldTags(): Promise<boolean> {
    const age = performance.now() - this.versionAskedMs;
    if (age > VERSION_MS || this.isNewServer === undefined) {
      this.isNewServer = isAtLeast(await version(this.client.session()), 3, 6);
      this.versionAskedMs = performance.now();
    }
    return !this.isNewServer;
  }

  private write(work: () => Promise<void>): Promise<void> {
    return this.writing(work);
  }
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
