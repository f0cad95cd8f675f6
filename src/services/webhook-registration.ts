import * as blockDocuments from '../prefect/blocks.js';
import type { BlockDocument } from '../prefect/blocks.js';
import type { PrefectClient } from '../prefect/client.js';
import { UpstreamError } from '../prefect/errors.js';
import { BlockTypes } from './block-types.js';
import { find } from './blocks.js';
import { CUSTOM_WEBHOOK, drift, WEBHOOK_NAME, webhookBlock } from './webhook-spec.js';
import type { WebhookTarget } from './webhook-target.js';
import { triggerKind, type TriggerKind } from './webhook-triggers.js';

/** What was done to one of the things that make up the webhook. */
export interface WebhookChange {
  what: 'block document' | TriggerKind['noun'];
  id: string;
  done: 'made' | 'changed' | 'switched on' | 'left as it is' | 'deleted';
  /** Names of the fields that were not as wanted. */
  fields?: string[];
}

/**
 * Makes the block and the automation (before 3.4: notification policy) that post to the facade, or mends them. Instances
 * that do this at the same time end up with one of each.
 * @throws UpstreamError
 */
export async function ensureWebhook(client: PrefectClient, target: WebhookTarget): Promise<WebhookChange[]> {
  const kind = await triggerKind(client);
  const block = await ensureBlock(client, target);
  return [block, ...(await ensureTrigger(kind, block.id))];
}

/** Deletes the automation (or policy) and the block of our name, and nothing else. @throws UpstreamError */
export async function removeWebhook(client: PrefectClient): Promise<WebhookChange[]> {
  const kind = await triggerKind(client);
  const block = await find(client.session(), CUSTOM_WEBHOOK, WEBHOOK_NAME);
  const changes: WebhookChange[] = [];
  for (const { id } of await kind.own(block?.id)) {
    await kind.remove(id);
    changes.push({ what: kind.noun, id, done: 'deleted' });
  }
  if (block) {
    await blockDocuments.remove(client.session(), block.id);
    changes.push({ what: 'block document', id: block.id, done: 'deleted' });
  }
  return changes;
}

async function ensureBlock(client: PrefectClient, target: WebhookTarget): Promise<WebhookChange> {
  const data = webhookBlock(target);
  const found = await findBlock(client);
  if (found) return mendBlock(client, found, data);
  try {
    const { typeId, schema } = await new BlockTypes().ensure(client.session(), CUSTOM_WEBHOOK);
    const block = { block_schema_id: schema.id, data };
    const id = await blockDocuments.create(client.session(), typeId, WEBHOOK_NAME, block);
    return { what: 'block document', id, done: 'made' };
  } catch (error) {
    // Another instance may have made it in between.
    const rival = error instanceof UpstreamError && error.isConflict ? await findBlock(client) : null;
    if (!rival) throw error;
    return mendBlock(client, rival, data);
  }
}

async function mendBlock(
  client: PrefectClient,
  { id, data: found }: BlockDocument,
  data: Record<string, unknown>,
): Promise<WebhookChange> {
  const fields = drift(data, found);
  if (fields.length === 0) return { what: 'block document', id, done: 'left as it is' };
  await blockDocuments.update(client.session(), id, { data }, false);
  return { what: 'block document', id, done: 'changed', fields };
}

/** The block of our name, with its secrets. */
function findBlock(client: PrefectClient): Promise<BlockDocument | null> {
  return find(client.session(), CUSTOM_WEBHOOK, WEBHOOK_NAME, true);
}

/**
 * Automations cannot be changed, and names are not unique: what has drifted is replaced, and of several that are right
 * the oldest stays. Each instance lists them after it has made its own, so that all come to the same choice.
 */
async function ensureTrigger(kind: TriggerKind, blockId: string): Promise<WebhookChange[]> {
  const before = await kind.own(blockId);
  const isRight = before.some((one) => one.drift.length === 0);
  const madeId = isRight ? undefined : await kind.create(blockId);
  const all = isRight ? before : await kind.own(blockId);
  const kept = all.find((one) => one.drift.length === 0);
  const changes: WebhookChange[] = [];
  if (kept) {
    if (!kept.enabled) await kind.enable(kept.id);
    const done = kept.id === madeId ? 'made' : kept.enabled ? 'left as it is' : 'switched on';
    changes.push({ what: kind.noun, id: kept.id, done });
  }
  for (const { id, drift: fields } of all.filter((one) => one !== kept)) {
    await kind.remove(id);
    changes.push({ what: kind.noun, id, done: 'deleted', ...(fields.length > 0 && { fields }) });
  }
  return changes;
}
