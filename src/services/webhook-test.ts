import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config.js';
import type { PrefectClient } from '../prefect/client.js';
import { UpstreamError } from '../prefect/errors.js';
import * as eventLog from '../prefect/event-log.js';
import * as flowRuns from '../prefect/flow-runs.js';
import * as flows from '../prefect/flows.js';
import * as singleRuns from '../prefect/single-runs.js';
import { Channel } from './settlement/channel.js';
import { LABELS } from './settlement/progress.js';
import { webhookStatus } from './webhook-status.js';

/** One step of a notification's way. */
export interface Hop {
  name: string;
  /** Milliseconds: of the step itself before the run has ended, since its end afterwards. */
  after: number;
  /** What is wrong; undefined where the notification came through here. */
  failure: string | undefined;
}

export interface TestOptions {
  client: PrefectClient;
  config: Config & { PREFECT_API_URL: string };
  /** Where the facade listens. */
  facadeUrl: string;
  /** Called with each step when it is over, in order. */
  onHop: (hop: Hop) => void;
  /** How long a step is waited for. */
  timeoutMs: number;
}

const FLOW = 'prefect-proxy-webhook-test';
const POLL_MS = 100;

class HopError extends Error {}

/**
 * Lets a real run end at the orchestrator and follows the notification: state, event, automation, facade. The run is
 * deleted afterwards; its flow stays.
 * @returns whether it came through
 * @throws UpstreamError
 */
export async function testWebhook(options: TestOptions): Promise<boolean> {
  const { client, config, facadeUrl, onHop } = options;
  const watch = stopwatch();
  const { problems, target, trigger, noun, isNotNeeded } = await webhookStatus(client, config, facadeUrl);
  const serious = problems.find(({ kind }) => kind !== 'twice');
  const name = isNotNeeded ? 'events websocket opens' : `registered at ${target?.url ?? 'no URL'}`;
  onHop({ name, after: watch(), failure: serious?.text });
  if (serious || !(trigger || isNotNeeded)) return false;

  const created = stopwatch();
  const flowId = await flows.ensure(client.session(), FLOW);
  const runId = await singleRuns.create(client.session(), flowId, `webhook-test-${Date.now()}`);
  onHop({ name: 'run made', after: created(), failure: undefined });
  try {
    const ended = stopwatch();
    const state = { type: 'COMPLETED', name: 'Completed', message: 'A test of the webhook' };
    await flowRuns.changeState(client.session(), runId, state, true);
    onHop({ name: 'state set', after: ended(), failure: undefined });
    return await follow(options, {
      runId,
      ended,
      automationId: noun === 'automation' ? trigger?.id : undefined,
    });
  } finally {
    await flowRuns.remove(client.session(), runId);
  }
}

interface EndedRun {
  runId: string;
  /** Milliseconds since its end. */
  ended: () => number;
  /** What posts; undefined where nothing can be seen of it. */
  automationId: string | undefined;
}

/** The steps after the end of the run: all are watched at once, and told in their order. */
async function follow({ client, config, onHop, timeoutMs }: TestOptions, run: EndedRun): Promise<boolean> {
  // Without a host nothing is delivered, and only the clean-up can be seen.
  const { settled } = new Channel(config.HOST_WEBHOOK_NAME).labels;
  const label = config.HOST_WEBHOOK_URL === undefined ? LABELS.cleaned : settled;
  const { state } = await singleRuns.read(client.session(), run.runId);
  const since = new Date(Date.parse(state.timestamp) - 1000).toISOString();
  const hop = async (name: string, look: () => Promise<number | undefined>, missing: string) => {
    try {
      return { name, after: await waitFor(look, run.ended, timeoutMs, missing), failure: undefined };
    } catch (error) {
      if (!(error instanceof HopError || error instanceof UpstreamError)) throw error;
      return { name, after: run.ended(), failure: error.message };
    }
  };
  const steps = [
    hop(
      'event listed',
      async () => {
        const found = await eventLog.list(client.session(), since, { id: { id: [state.id] } });
        return found.length > 0 ? run.ended() : undefined;
      },
      'the orchestrator lists no event of the state: are its event services running?',
    ),
    ...(run.automationId === undefined
      ? []
      : [
          hop(
            'automation fired',
            () => automationDid(client, since, state, run.automationId, ['triggered']),
            'is the triggers service of the orchestrator running?',
          ),
          hop(
            'webhook answered, says the orchestrator',
            () => automationDid(client, since, state, run.automationId, ['action.executed', 'action.failed']),
            'it has sent nothing, or got no 2xx from the URL: it says which in its own log only',
          ),
        ]),
    hop(
      'settled by the facade',
      async () => {
        const { labels } = await singleRuns.read(client.session(), run.runId);
        return labels?.[label] === state.id ? run.ended() : undefined;
      },
      `the run never got the label ${label}: look into the facade's log`,
    ),
  ];
  const hops = [];
  for (const step of steps) {
    const done = await step;
    hops.push(done);
    onHop(done);
  }
  return hops.every(({ failure }) => failure === undefined);
}

/** When an automation did one of these because of a state, as the orchestrator has written it down: ms after the state. */
async function automationDid(
  client: PrefectClient,
  since: string,
  state: singleRuns.SingleRun['state'],
  automationId: string | undefined,
  what: string[],
): Promise<number | undefined> {
  const events = await eventLog.list(client.session(), since, {
    event: { name: what.map((name) => `prefect.automation.${name}`) },
    resource: { id: [`prefect.automation.${automationId ?? ''}`] },
  });
  const cause = `prefect.event.${state.id}`;
  const done = events.find(({ related }) => related.some((one) => one['prefect.resource.id'] === cause));
  if (done?.event.endsWith('.failed')) throw new HopError(`it failed: ${String(done.payload['reason'])}`);
  return done && Date.parse(done.occurred) - Date.parse(state.timestamp);
}

async function waitFor(
  look: () => Promise<number | undefined>,
  elapsed: () => number,
  timeoutMs: number,
  missing: string,
): Promise<number> {
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (elapsed() > timeoutMs)
      throw new HopError(`${missing} (waited for ${Math.round(timeoutMs / 1000)} s)`);
    await sleep(POLL_MS);
  }
}

/** Milliseconds since now. */
function stopwatch(): () => number {
  const start = performance.now();
  return () => Math.round(performance.now() - start);
}
