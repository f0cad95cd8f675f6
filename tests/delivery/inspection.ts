import { RefusedError, type Orchestrator } from './orchestrator.js';
import type { Run } from './runs.js';

/** What the orchestrator shows of a run, when all should be over. */
export interface Sight {
  stateId: string;
  labels: Record<string, unknown>;
  /** What it still holds, in words. */
  holds: string[];
}

/** Looks at the runs; what does not exist is not in the result. */
export async function inspect(
  api: Orchestrator,
  runs: Run[],
  names: { tag: string; limit: string },
): Promise<Map<string, Sight>> {
  const seen = await api.byIds<{ id: string; state_id: string; labels: Record<string, unknown> | null }>(
    'flow_runs',
    runs.map(({ id }) => id),
  );
  const blocks = await existing(
    api,
    'block_documents',
    runs.flatMap(({ held }) => held.blocks),
  );
  const deployments = await existing(
    api,
    'deployments',
    runs.flatMap(({ held }) => held.deployments),
  );
  const leases = await heldLeases(api, runs, names.limit);
  const slots = await api.call<{ active_slots: string[] }>('GET', `/concurrency_limits/tag/${names.tag}`);
  const holders = new Set(slots.active_slots);
  const sights = new Map<string, Sight>();
  const runsById = new Map(runs.map((run) => [run.id, run]));
  for (const { id, state_id: stateId, labels } of seen) {
    const { held } = runsById.get(id)!;
    const holds = [
      ...held.blocks.filter((one) => blocks.has(one)).map((one) => `block document ${one}`),
      ...held.deployments.filter((one) => deployments.has(one)).map((one) => `deployment ${one}`),
      ...held.leases.filter((one) => leases.has(one)).map((one) => `lease ${one}`),
      ...held.slotHolders.filter((one) => holders.has(one)).map((one) => `tag slot of task run ${one}`),
    ];
    sights.set(id, { stateId, labels: labels ?? {}, holds });
  }
  return sights;
}

async function existing(api: Orchestrator, noun: 'block_documents' | 'deployments', ids: string[]) {
  return new Set((await api.byIds<{ id: string }>(noun, ids)).map(({ id }) => id));
}

/** Leases cannot be listed; renewing tells. Where only those that live hold slots, nobody needs to be asked. */
async function heldLeases(api: Orchestrator, runs: Run[], limit: string): Promise<Set<string>> {
  const { active_slots: slots } = await api.call<{ active_slots: number }>(
    'GET',
    `/v2/concurrency_limits/${limit}`,
  );
  const living = runs.filter(({ course }) => course === 'lives').flatMap((run) => run.held.leases);
  const isAsExpected = slots === living.length;
  const held = new Set<string>();
  for (const lease of isAsExpected ? living : runs.flatMap((run) => run.held.leases)) {
    try {
      await api.call('POST', `/v2/concurrency_limits/leases/${lease}/renew`, { lease_duration: 3_600 });
      held.add(lease);
    } catch (error) {
      if (!(error instanceof RefusedError && error.status === 410)) throw error;
    }
  }
  return held;
}
