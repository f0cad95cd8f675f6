import type { Config } from '../config.js';
import { eventsConnection } from '../create-client.js';
import * as blockDocuments from '../prefect/blocks.js';
import type { BlockDocument } from '../prefect/blocks.js';
import type { PrefectClient } from '../prefect/client.js';
import { isLocalHost } from '../process/address.js';
import { EventStream } from '../prefect/event-stream.js';
import { pingReceiver } from './webhook-ping.js';
import { CUSTOM_WEBHOOK, drift, WEBHOOK_NAME, webhookBlock } from './webhook-spec.js';
import { WebhookSetupError, webhookTarget, type WebhookTarget } from './webhook-target.js';
import { triggerKind, type Trigger, type TriggerKind } from './webhook-triggers.js';

/** What is wrong with the webhook; `text` names fields and never holds the key. */
export interface WebhookProblem {
  kind: 'setup' | 'missing' | 'drift' | 'off' | 'twice' | 'unreachable' | 'events';
  text: string;
}

export interface WebhookStatus {
  /** Undefined where the configuration does not say it. */
  target: WebhookTarget | undefined;
  block: BlockDocument | undefined;
  /** The automation, or before 3.4 the policy, that posts through the block. */
  trigger: Trigger | undefined;
  noun: TriggerKind['noun'];
  /** Nothing is registered, and nothing need be: the events websocket takes its place. */
  isNotNeeded: boolean;
  problems: WebhookProblem[];
}

/**
 * Looks at what is registered, and asks the receiver for an answer. Where nothing is registered and nothing need be
 * (`WEBHOOK_AUTO_REGISTER=auto`), opens the events websocket instead. Changes nothing.
 * @param facadeUrl where the facade listens
 * @throws UpstreamError
 */
export async function webhookStatus(
  client: PrefectClient,
  config: Config & { PREFECT_API_URL: string },
  facadeUrl: string,
): Promise<WebhookStatus> {
  const problems: WebhookProblem[] = [];
  const target = targetOr(problems, config, facadeUrl);
  const kind = await triggerKind(client);
  const slugs = [CUSTOM_WEBHOOK.slug, 'webhook'];
  const blocks = await blockDocuments.listOfTypes(client.session(), client, slugs);
  const block = blocks.find(isOurs);
  const own = await kind.own(block?.id);
  const trigger = own[0];
  const madeByHand = await checkOthers(kind, blocks, {
    own,
    block,
    target,
    hostUrl: config.HOST_WEBHOOK_URL,
  });
  if (config.WEBHOOK_AUTO_REGISTER === 'auto' && !block && !trigger) {
    const wrong = await eventsProblem(config);
    const isNotNeeded = wrong === undefined;
    if (wrong !== undefined) problems.push({ kind: 'events', text: wrong });
    const shown = isNotNeeded ? madeByHand : [...problems, ...madeByHand];
    return { target, block, trigger, noun: kind.noun, isNotNeeded, problems: shown };
  }

  checkBlock(problems, block, target);
  checkTrigger(problems, kind.noun, own);
  problems.push(...madeByHand);
  const wrong = target && (await pingReceiver(target));
  if (wrong) problems.push({ kind: 'unreachable', text: wrong });
  return { target, block, trigger, noun: kind.noun, isNotNeeded: false, problems };
}

/** How long the events websocket may take to open. */
const EVENTS_MS = 10_000;

/** Opens the events websocket and closes it. @returns what is wrong with it; undefined where it opens */
async function eventsProblem(config: Config & { PREFECT_API_URL: string }): Promise<string | undefined> {
  let events: EventStream | undefined;
  let timer: NodeJS.Timeout | undefined;
  const missing = 'and no webhook is registered: runs that end are found by sweeps only';
  try {
    return await new Promise((resolve) => {
      timer = setTimeout(resolve, EVENTS_MS, `the events websocket does not open, ${missing}`);
      events = new EventStream({
        ...eventsConnection(config, config.PREFECT_API_URL),
        backfill: false,
        onEnded: () => {},
        onChange: (isOpen, reason) => {
          resolve(isOpen ? undefined : `the events websocket cannot be opened (${reason}), ${missing}`);
        },
      });
      events.open();
    });
  } finally {
    clearTimeout(timer);
    events?.close();
  }
}

interface Ours {
  own: Trigger[];
  block: BlockDocument | undefined;
  target: WebhookTarget | undefined;
  hostUrl: string | undefined;
}

/**
 * What others made that posts where ours does: each costs Prefect as much as ours, and says nothing new. What posts to
 * the host itself is worse: it passes by everything that this service does about news that come twice.
 */
async function checkOthers(
  kind: TriggerKind,
  blocks: BlockDocument[],
  { own, block, target, hostUrl }: Ours,
): Promise<WebhookProblem[]> {
  const posting = (url: string | undefined) =>
    new Set(blocks.filter((one) => one !== block && same(urlOf(one), url)).map(({ id }) => id));
  const toUs = posting(target?.url ?? urlOf(block));
  if (block) toUs.add(block.id);
  const toHost = posting(hostUrl);
  for (const id of toUs) toHost.delete(id);
  const problemOf = ({ id, name }: Trigger, where: string): WebhookProblem => ({
    kind: 'twice',
    text: `the ${kind.noun} ${name} (${id}) posts to ${where}`,
  });
  const others = (await kind.through(toUs)).filter(({ id }) => own.every((one) => one.id !== id));
  const around = await kind.through(toHost);
  return [
    ...others.map((one) => problemOf(one, 'the same URL')),
    ...around.map((one) => problemOf(one, 'HOST_WEBHOOK_URL itself: the host gets its news twice')),
  ];
}

function targetOr(problems: WebhookProblem[], config: Config, facadeUrl: string): WebhookTarget | undefined {
  try {
    return webhookTarget(config, facadeUrl);
  } catch (error) {
    if (!(error instanceof WebhookSetupError)) throw error;
    problems.push({ kind: 'setup', text: error.message });
    return undefined;
  }
}

function checkBlock(
  problems: WebhookProblem[],
  block: BlockDocument | undefined,
  target: WebhookTarget | undefined,
): void {
  if (!block) {
    problems.push({ kind: 'missing', text: `not registered: there is no block document ${WEBHOOK_NAME}` });
    return;
  }
  const fields = target ? drift(webhookBlock(target), block.data) : [];
  if (fields.length > 0)
    problems.push({ kind: 'drift', text: `the block document differs in ${fields.join(', ')}` });
}

function checkTrigger(problems: WebhookProblem[], noun: string, [first, ...others]: Trigger[]): void {
  if (!first) {
    problems.push({ kind: 'missing', text: `not registered: there is no ${noun} ${WEBHOOK_NAME}` });
    return;
  }
  if (!first.enabled) problems.push({ kind: 'off', text: `the ${noun} is switched off` });
  if (first.drift.length > 0)
    problems.push({ kind: 'drift', text: `the ${noun} differs in ${first.drift.join(', ')}` });
  for (const { id } of others)
    problems.push({ kind: 'twice', text: `there is another ${noun} of this name (${id})` });
}

const isOurs = (block: BlockDocument) => block.name === WEBHOOK_NAME && isCustomWebhook(block);

function isCustomWebhook({ block_type: type }: BlockDocument): boolean {
  return typeof type === 'object' && type !== null && 'slug' in type && type.slug === CUSTOM_WEBHOOK.slug;
}

function urlOf(block: BlockDocument | undefined): string | undefined {
  const url = block?.data['url'];
  return typeof url === 'string' && URL.canParse(url) ? url : undefined;
}

/** Whether two URLs lead to one place: whatever follows the path, and whichever name of this machine they use. */
function same(a: string | undefined, b: string | undefined): boolean {
  if (a === undefined || b === undefined) return false;
  const plain = (text: string) => {
    const { protocol, hostname, port, pathname } = new URL(text);
    const name = isLocalHost(hostname.replace(/^\[(.*)\]$/, '$1')) ? 'localhost' : hostname;
    return `${protocol}//${name}:${port}${pathname.replace(/\/$/, '')}`;
  };
  return plain(a) === plain(b);
}
