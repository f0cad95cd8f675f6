import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { LABELS } from '../../../src/services/settlement/progress.js';
import type { Seed, StateInput } from '../seed.js';

const withId = z.object({ id: z.string() });

interface Held {
  block_documents?: string[];
  deployments?: string[];
  concurrency_leases?: string[];
}

export interface HolderInput {
  held?: Held;
  labels?: Record<string, unknown>;
  deploymentId?: string;
  parentTaskRunId?: string;
  states?: StateInput[];
}

/** A run with labels, in the last of some states. `held` is what it declares. */
export async function holder(seed: Seed, input: HolderInput = {}): Promise<string> {
  const { id } = withId.parse(
    await seed.call('POST', '/flow_runs/', {
      flow_id: await seed.flow(),
      name: 'holder',
      parameters: {},
      labels: { ...(input.held && { [LABELS.cleanup]: JSON.stringify(input.held) }), ...input.labels },
      state: { type: 'PENDING', name: 'Pending' },
      ...(input.deploymentId ? { deployment_id: input.deploymentId } : {}),
      ...(input.parentTaskRunId ? { parent_task_run_id: input.parentTaskRunId } : {}),
    }),
  );
  for (const state of input.states ?? []) await seed.setState('flow_runs', id, state);
  return id;
}

/** A block document of type `secret`. */
export async function secretBlock(seed: Seed): Promise<string> {
  const type = withId.parse(await seed.call('GET', '/block_types/slug/secret'));
  const [schema] = z.array(withId).parse(
    await seed.call('POST', '/block_schemas/filter', {
      block_schemas: { block_type_id: { any_: [type.id] } },
    }),
  );
  const document = {
    name: `secret-${randomUUID()}`,
    block_type_id: type.id,
    block_schema_id: schema!.id,
    data: { value: 'x' },
  };
  return withId.parse(await seed.call('POST', '/block_documents/', document)).id;
}

/** Whether a GET finds it. @param path e.g. `/block_documents/{id}` */
export async function exists(seed: Seed, path: string): Promise<boolean> {
  return seed.call('GET', path).then(
    () => true,
    (error: unknown) => {
      if (!String(error).includes(' 404 ')) throw error;
      return false;
    },
  );
}

/** The limit of a new tag. @returns the tag */
export async function tagLimit(seed: Seed): Promise<string> {
  const tag = `tag-${randomUUID()}`;
  await seed.call('POST', '/concurrency_limits/', { tag, concurrency_limit: 100 });
  return tag;
}

/** A task run takes its slots of tags, as Prefect's engine does. */
export async function takeSlot(seed: Seed, tags: string[], taskRunId: string): Promise<void> {
  await seed.call('POST', '/concurrency_limits/increment', { names: tags, task_run_id: taskRunId });
}

/** The task runs that hold slots of a tag. */
export async function slotHolders(seed: Seed, tag: string): Promise<string[]> {
  const limit = await seed.call('GET', `/concurrency_limits/tag/${tag}`);
  return z.object({ active_slots: z.array(z.string()) }).parse(limit).active_slots;
}

interface Lease {
  id: string;
  /** Of the limit. */
  name: string;
}

/** A lease of the only slot of a new global limit. */
export async function lease(seed: Seed): Promise<Lease> {
  const name = `limit-${randomUUID()}`;
  await seed.call('POST', '/v2/concurrency_limits/', { name, limit: 1 });
  const taken = await seed.call('POST', '/v2/concurrency_limits/increment-with-lease', {
    names: [name],
    slots: 1,
    mode: 'concurrency',
  });
  return { id: z.object({ lease_id: z.string() }).parse(taken).lease_id, name };
}

export async function leaseIsHeld(seed: Seed, { name }: Lease): Promise<boolean> {
  const limit = await seed.call('GET', `/v2/concurrency_limits/${name}`);
  return z.object({ active_slots: z.number() }).parse(limit).active_slots > 0;
}
