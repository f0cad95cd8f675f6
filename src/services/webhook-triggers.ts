import * as admin from '../prefect/admin.js';
import * as automations from '../prefect/automations.js';
import type { PrefectClient } from '../prefect/client.js';
import { UpstreamError } from '../prefect/errors.js';
import * as policies from '../prefect/notification-policies.js';
import { drift, WEBHOOK_NAME, webhookAutomation, webhookPolicy } from './webhook-spec.js';

/** Something that makes Prefect post through a block. */
export interface Trigger {
  id: string;
  name: string;
  /** ISO time. */
  created: string;
  enabled: boolean;
  /** Names of the fields that are not as they are registered here. */
  drift: string[];
}

/** The way in which a server's version is told to post. */
export interface TriggerKind {
  noun: 'automation' | 'notification policy';
  /** Those that are ours, oldest first. @param blockId our block, if there is one */
  own(blockId: string | undefined): Promise<Trigger[]>;
  /** The ones that are switched on and post through any of these blocks. */
  through(blockIds: ReadonlySet<string>): Promise<Trigger[]>;
  create(blockId: string): Promise<string>;
  enable(id: string): Promise<void>;
  remove(id: string): Promise<void>;
}

/** `GET /admin/version`, and what that version has: notification policies before 3.4, automations since. */
export async function triggerKind(client: PrefectClient): Promise<TriggerKind> {
  const version = await admin.version(client.session());
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major < 3 || (major === 3 && minor < 4) ? policyTriggers(client) : automationTriggers(client);
}

function automationTriggers(client: PrefectClient): TriggerKind {
  return {
    noun: 'automation',
    own: async (blockId = '') => {
      const { trigger, actions } = webhookAutomation(blockId);
      const found = await automations.list(client.session(), client, WEBHOOK_NAME);
      return oldestFirst(
        found.map((one) => ({
          ...one,
          drift: drift({ trigger, actions }, { trigger: one.trigger, actions: one.actions }),
        })),
      );
    },
    through: async (blockIds) => {
      const all = await automations.list(client.session(), client);
      return all
        .filter(({ actions }) => actions.some((action) => blockIds.has(String(action['block_document_id']))))
        .filter(({ enabled }) => enabled)
        .map((one) => ({ ...one, drift: [] }));
    },
    create: (blockId) => automations.create(client.session(), webhookAutomation(blockId)),
    enable: (id) => automations.enable(client.session(), id),
    remove: (id) => removed(automations.remove(client.session(), id)),
  };
}

/** Policies have no names: ours are those of our block. */
function policyTriggers(client: PrefectClient): TriggerKind {
  const list = async (blockIds: ReadonlySet<string>) => {
    const all = await policies.list(client.session(), client);
    return all
      .filter((one) => blockIds.has(one.block_document_id))
      .map((one) => {
        const wanted: Record<string, unknown> = { ...webhookPolicy(one.block_document_id) };
        const fields = Object.keys(wanted).filter((key) => drift(wanted[key], one[key], key).length > 0);
        return { ...one, name: one.id, enabled: one.is_active, drift: fields };
      });
  };
  return {
    noun: 'notification policy',
    own: async (blockId) => (blockId === undefined ? [] : oldestFirst(await list(new Set([blockId])))),
    through: async (blockIds) => (await list(blockIds)).filter(({ enabled }) => enabled),
    create: (blockId) => policies.create(client.session(), webhookPolicy(blockId)),
    enable: (id) => policies.enable(client.session(), id),
    remove: (id) => removed(policies.remove(client.session(), id)),
  };
}

/** By id where the times are equal: all who look agree on which is the oldest. */
function oldestFirst(triggers: Trigger[]): Trigger[] {
  const age = ({ created, id }: Trigger) => `${created} ${id}`;
  return triggers.sort((a, b) => (age(a) < age(b) ? -1 : 1));
}

/** Another instance may have removed it. */
async function removed(removal: Promise<void>): Promise<void> {
  await removal.catch((error: unknown) => {
    if (!(error instanceof UpstreamError && error.isNotFound)) throw error;
  });
}
