import { setTimeout as sleep } from 'node:timers/promises';
import type { Facade } from './facade.js';
import type { FakeHost } from './host.js';
import type { PrefectServer } from './prefect-server.js';
import type { EndedState, Run } from './runs.js';
import type { UpstreamProxy } from './upstream-proxy.js';
import type { Outage } from './verifier.js';
import type { WebhookRelay } from './webhook-relay.js';

/** What a round can break, and what it can see. */
export interface Scene {
  host: FakeHost;
  /** The second host. */
  other: FakeHost;
  /** Between the facades and Prefect. */
  proxy: UpstreamProxy;
  /** Between Prefect and the facades. */
  relay: WebhookRelay;
  prefect: PrefectServer;
  facades: Facade[];
  /** The key of the facades' webhook. */
  webhookKey: string;
  quick: boolean;
  /** Of the Prefect server, when it is started again. */
  prefectSettings: Record<string, string>;
  outages: Outage[];
  /** Reasons why the round proves nothing. */
  vain: string[];
  /** The share of the runs that have begun to end. */
  share(): number;
  /** Called before a run ends, and right after each terminal state. */
  beforeEnd?: (run: Run) => Promise<void> | void;
  afterEnd?: (run: Run, state: EndedState) => void;
}

/** Notes how long something was broken. */
export async function outage(scene: Scene, work: () => Promise<void>): Promise<void> {
  const broken = { from: Date.now(), to: Infinity };
  scene.outages.push(broken);
  await work();
  broken.to = Date.now();
}

/** Resolves when this share of the runs has begun to end. */
export async function untilShare(scene: Scene, share: number): Promise<void> {
  while (scene.share() < share) await sleep(20);
}
