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
