import { setTimeout as sleep } from 'node:timers/promises';
import type { HostMode } from './host.js';
import { KILL_POINTS, Killer } from './killer.js';
import type { Mix } from './runs.js';
import { outage, untilShare, type Scene } from './scene.js';

export interface Round {
  name: string;
  /** What is broken, in words. */
  about: string;
  /** Prefect's webhook is registered, too; by default the events websocket and the sweep are all there is. */
  webhook?: true;
  /** Which limit of latency holds. */
  limit: 'healthy' | 'after a loss';
  mix?: Mix;
  instances?: number;
  /** What the facades have instead of the usual settings, one of them each. @param other the URL of the second host */
  facades?: (other: string) => Record<string, string>[];
  /** Who is to hear of each run: the first host, where nothing is said. */
  hears?: 'host' | 'both' | 'either';
  /** Worker processes of a facade, whatever all others have. */
  workers?: number;
  /** Seconds over which the runs' ends are to be spread, at least. */
  seconds?: (quick: boolean) => number;
  /** More settings for a Prefect server that is started for this round. */
  prefectSettings?: Record<string, string>;
  /** Called when the facade runs and the runs are there; what it returns goes on while they end. */
  play?: (scene: Scene) => Promise<void> | void;
}

const outageSeconds = (quick: boolean, full: number) => (quick ? 8 : full);

export const ROUNDS: Round[] = [
  { name: 'healthy', about: 'nothing is broken', limit: 'healthy' },
  { name: 'healthy-webhook', about: 'nothing is broken', limit: 'healthy', webhook: true },
  {
    name: 'webhooks-dropped',
    webhook: true,
    about: 'no webhook of Prefect arrives',
    limit: 'after a loss',
    play: ({ relay }) => {
      relay.mode = 'drop';
    },
  },
  {
    name: 'sweeps-only',
    about: 'no event arrives on the websocket, which stays open',
    limit: 'after a loss',
    play: muteEvents,
  },
  {
    name: 'webhook-four-times',
    webhook: true,
    about: 'each webhook comes four times at once',
    limit: 'healthy',
    play: ({ relay }) => {
      relay.mode = 'four';
    },
  },
  {
    name: 'webhook-early',
    webhook: true,
    about: 'the only webhook comes up to 300 ms before the state is there; no events',
    limit: 'after a loss',
    play: (scene) => {
      const { relay, webhookKey } = scene;
      relay.mode = 'drop';
      scene.beforeEnd = async ({ name, id }) => {
        await relay.post(`Flow run ${name} with id ${id} entered state Completed`, webhookKey);
        await sleep(Math.random() * 300);
      };
      return muteEvents(scene);
    },
  },
  {
    name: 'out-of-order',
    webhook: true,
    about: 'most runs end twice, and webhooks come backwards; no websocket',
    limit: 'after a loss',
    mix: { superseded: 50, revived: 20 },
    play: ({ relay, proxy }) => {
      relay.mode = 'backwards';
      proxy.events = 'refuse';
      proxy.cutWebsockets();
    },
  },
  {
    name: 'host-down',
    about: 'nothing listens at the host for a minute',
    limit: 'after a loss',
    seconds: (quick) => outageSeconds(quick, 60) / 0.5,
    play: (scene) => breakHost(scene, 'down', outageSeconds(scene.quick, 60)),
  },
  {
    name: 'host-500',
    about: 'the host answers 500 for a while',
    limit: 'after a loss',
    seconds: (quick) => outageSeconds(quick, 30) / 0.5,
    play: (scene) => breakHost(scene, '500', outageSeconds(scene.quick, 30)),
  },
  {
    name: 'host-stuck',
    about: 'the host does its work and does not answer for a while',
    limit: 'after a loss',
    seconds: (quick) => outageSeconds(quick, 30) / 0.5,
    play: (scene) => breakHost(scene, 'stuck', outageSeconds(scene.quick, 30)),
  },
  {
    name: 'facade-killed',
    about: 'the facade is killed before and after each step of settlement',
    limit: 'after a loss',
    play: killFacade,
  },
  {
    name: 'prefect-killed',
    about: 'Prefect is killed right after a state change, again and again',
    limit: 'after a loss',
    // Leases in memory, the default, are lost with the process, and nobody can give them back then.
    prefectSettings: {
      PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE: 'prefect.server.concurrency.lease_storage.filesystem',
    },
    play: killPrefect,
  },
  {
    name: 'websocket-cut',
    about: 'the websocket is cut each second, and refused at times',
    limit: 'after a loss',
    play: cutWebsocket,
  },
  {
    name: 'two-instances',
    about: 'two facades at once, webhooks to each in turn',
    limit: 'healthy',
    instances: 2,
  },
  {
    name: 'hostless-beside',
    about: 'the host is down for a while, and a facade without a host runs beside',
    limit: 'after a loss',
    seconds: (quick) => outageSeconds(quick, 60) / 0.5,
    facades: () => [{ HOST_WEBHOOK_URL: '' }, {}],
    play: async (scene) => {
      await breakHost(scene, 'down', outageSeconds(scene.quick, 60));
      // What it would have taken away is still to come.
      await scene.facades[0]!.stop();
    },
  },
  {
    name: 'two-hosts',
    about: 'two facades deliver to a host each',
    limit: 'after a loss',
    facades: (other) => [{}, { HOST_WEBHOOK_URL: other, HOST_WEBHOOK_NAME: 'second' }],
    hears: 'both',
  },
  {
    name: 'two-urls',
    about: 'a second facade has another URL under the same name; the first ends halfway',
    limit: 'after a loss',
    facades: (other) => [{}, { HOST_WEBHOOK_URL: other }],
    hears: 'either',
    play: twoUrls,
  },
  {
    name: 'workers-killed',
    about: 'the facade has four worker processes, and each second one of them is killed',
    limit: 'after a loss',
    workers: 4,
    play: killWorkers,
  },
];

/** No event comes any more, and the facade cannot know. */
async function muteEvents(scene: Scene): Promise<void> {
  const { proxy } = scene;
  const before = proxy.muted;
  proxy.events = 'mute';
  proxy.cutWebsockets();
  await untilShare(scene, 1);
  if (proxy.websockets > 0 && proxy.muted === before) scene.vain.push('no event was kept back');
}

async function breakHost(scene: Scene, mode: HostMode, seconds: number): Promise<void> {
  await untilShare(scene, 0.2);
  await outage(scene, async () => {
    await scene.host.become(mode);
    await sleep(seconds * 1000);
    await scene.host.become('healthy');
  });
  if (scene.share() > 0.95) scene.vain.push('no run ended after the outage');
  if (mode === '500' && scene.host.refused === 0) scene.vain.push('the host was never asked');
}

/** Runs end no faster than steps are met, so that there are some left for each; a step that is never met is a failure. */
async function killFacade(scene: Scene): Promise<void> {
  const facade = scene.facades[0]!;
  const killer = new Killer(() => outage(scene, () => facade.restart()));
  scene.proxy.passage = scene.host.passage = killer;
  const patience = scene.quick ? 6_000 : 10_000;
  scene.beforeEnd = async () => {
    const isAhead = () => !killer.isDone && scene.share() > (killer.kills + 2) / KILL_POINTS.length;
    while (isAhead() && killer.waits < 2 * patience) await sleep(20);
  };
  while (scene.share() < 1 || (!killer.isDone && killer.waits < 2 * patience)) {
    killer.skipAfter(patience);
    await sleep(20);
  }
  scene.proxy.passage = scene.host.passage = undefined;
  await killer.idle();
  for (const name of killer.missed) scene.vain.push(`never killed ${name}`);
}

async function killPrefect(scene: Scene): Promise<void> {
  const times = scene.quick ? 2 : 6;
  for (let n = 0; n < times; n += 1) {
    await untilShare(scene, (n + 0.5) / times);
    await outage(scene, async () => {
      await new Promise<void>((resolve) => {
        scene.afterEnd = () => {
          delete scene.afterEnd;
          // Sent before anything else happens in this process.
          void scene.prefect.kill().then(resolve);
        };
      });
      await scene.prefect.start(scene.prefectSettings);
    });
  }
}

async function twoUrls(scene: Scene): Promise<void> {
  const { host, other, facades } = scene;
  await untilShare(scene, 0.5);
  if (other.deliveries.length > 0)
    scene.vain.push('the second host heard of runs while the first facade led');
  await outage(scene, () => facades[0]!.stop());
  const before = host.deliveries.length;
  await untilShare(scene, 1);
  if (other.deliveries.length === 0) scene.vain.push('the second facade never took over');
  if (host.deliveries.length > before)
    scene.vain.push('the first host heard of runs after its facade had ended');
}

async function killWorkers(scene: Scene): Promise<void> {
  let kills = 0;
  while (scene.share() < 1) {
    if (scene.facades[0]!.killWorker()) kills += 1;
    await sleep(1_000);
  }
  if (kills === 0) scene.vain.push('no worker was there to kill');
}

async function cutWebsocket(scene: Scene): Promise<void> {
  const { proxy } = scene;
  const before = proxy.websockets;
  for (let n = 0; scene.share() < 1; n += 1) {
    proxy.events = n % 3 === 2 ? 'refuse' : 'pass';
    proxy.cutWebsockets();
    await sleep(1_000);
  }
  proxy.events = 'pass';
  if (proxy.websockets - before < 2) scene.vain.push('there was no websocket to cut');
}
