import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config.js';
import { createClient, eventsConnection } from '../../src/create-client.js';
import { HostWebhook } from '../../src/host/webhook.js';
import type { PrefectClient } from '../../src/prefect/client.js';
import { EventStream } from '../../src/prefect/event-stream.js';
import { listEndedIds } from '../../src/prefect/unreadable-runs.js';
import type { Hint } from '../../src/services/hints.js';
import { RunPoller } from '../../src/services/poll.js';
import { Channel } from '../../src/services/settlement/channel.js';
import { Settlement } from '../../src/services/settlement/settlement.js';
import { webhookBody } from '../../src/services/settlement/webhook-message.js';
import { contract } from '../support/contract.js';
import { COMPLETED, RUNNING, type StateInput } from '../support/seed.js';
import { startFakeHost, type FakeHost } from '../support/settlement/fake-host.js';

/** A name of its own: the list of what was delivered without a run is shared by all tests on a server. */
const NAME = `missing_${randomUUID().slice(0, 8)}`;
const c = contract({ HOST_WEBHOOK_NAME: NAME });
const channel = new Channel(NAME);
const logger = { info: () => {}, warn: () => {}, error: () => {}, close: () => Promise.resolve() };
const heard: Hint[] = [];
let host: FakeHost;
let webhook: HostWebhook;
let client: PrefectClient;
let settlement: Settlement;
let events: EventStream;
beforeAll(async () => {
  host = await startFakeHost();
  webhook = new HostWebhook({ url: host.url, timeoutSeconds: 10, concurrency: 4 });
  const config = loadConfig({ PREFECT_API_RETRY: 'false' });
  client = createClient(config, c.apiUrl);
  settlement = new Settlement({
    client,
    poller: new RunPoller(),
    host: webhook,
    channel,
    logger,
    graceSeconds: 60,
  });
  const opened = new Promise<void>((resolve) => {
    events = new EventStream({
      ...eventsConnection(config, c.apiUrl),
      onEnded: (event) => heard.push(event),
      onCreated: settlement.created,
      onChange: (isOpen) => {
        if (isOpen) resolve();
      },
    });
  });
  events.open();
  await opened;
});
afterAll(async () => {
  events.close();
  await settlement.close();
  await webhook.close();
  await client.close();
  await host.close();
});

const PATIENCE = { timeout: 60_000, interval: 50 };
const NAMED: StateInput = { type: 'COMPLETED', name: 'DBT_TEST_FAILED' };
const postsOf = (id: string) => host.posts.filter(({ text }) => text.includes(id));
const heardOf = async (id: string) => {
  await expect.poll(() => heard.some(({ flowRunId }) => flowRunId === id), PATIENCE).toBe(true);
  return heard.find(({ flowRunId }) => flowRunId === id)!;
};
async function ended(state: StateInput = NAMED, parent?: string) {
  const fields = {
    name: 'gone: "x"',
    tags: ['acme'],
    deploymentId: await c.seed.deployment(),
    states: [RUNNING, state],
  };
  const id = parent === undefined ? await c.seed.flowRun(fields) : (await c.seed.subflow(parent, fields)).id;
  const run = (await c.seed.call('GET', `/flow_runs/${id}`)) as {
    state: { id: string };
    deployment_id: string;
  };
  return { id, stateId: run.state.id, deploymentId: run.deployment_id };
}
const listed = async (id: string) => {
  const { json } = await c.host.get('/proxy/v1/deliveries/without_run');
  const { deliveries } = json as {
    deliveries: { flow_run_id: string; state_id: string | null; delivery: string }[];
  };
  return deliveries.find((one) => one.flow_run_id === id);
};
const remove = (id: string) => c.seed.call('DELETE', `/flow_runs/${id}`);

describe('A run that is deleted between its end and its delivery', () => {
  it('is delivered from its event, under the id that it would have had, and marked', async () => {
    const { id, stateId, deploymentId } = await ended();
    const hint = await heardOf(id);
    await remove(id);
    settlement.hint(hint);
    await expect.poll(() => postsOf(id).length, PATIENCE).toBe(1);
    const [post] = postsOf(id);
    expect(post!.headers).toMatchObject({
      'webhook-id': `${id}:${stateId}`,
      'x-flow-run-source': 'state_change',
    });
    expect(post!.sentence).toBe(`Flow run gone---x- with id ${id} entered state Completed`);
    expect(webhookBody.strict().parse(JSON.parse(post!.text)).flow_run).toMatchObject({
      id,
      name: 'gone: "x"',
      tags: ['acme'],
      deployment_id: deploymentId,
      source: 'state_change',
      state: { id: stateId, type: 'COMPLETED', name: 'DBT_TEST_FAILED' },
    });
    await expect.poll(() => listed(id), PATIENCE).toMatchObject({ state_id: stateId, delivery: 'delivered' });
    settlement.hint(hint);
    settlement.hint({ flowRunId: id });
    const other = await ended();
    settlement.hint({ flowRunId: other.id });
    await expect.poll(() => postsOf(other.id).length, PATIENCE).toBe(1);
    expect(postsOf(other.id)[0]!.headers).not.toHaveProperty('x-flow-run-source');
    expect(postsOf(id)).toHaveLength(1);
  });

  it('is delivered from the event log if its id is all that is known', async () => {
    const { id, stateId } = await ended();
    await remove(id);
    settlement.hint({ flowRunId: id });
    await expect.poll(() => postsOf(id).length, PATIENCE).toBe(1);
    expect(postsOf(id)[0]!.headers).toMatchObject({ 'webhook-id': `${id}:${stateId}` });
  });

  it('is not delivered if it was a subflow', async () => {
    const parent = await c.seed.flowRun({ states: [RUNNING] });
    const { id } = await ended(COMPLETED, parent);
    const hint = await heardOf(id);
    await remove(id);
    settlement.hint(hint);
    const { id: other } = await ended();
    settlement.hint({ flowRunId: other });
    await expect.poll(() => postsOf(other).length, PATIENCE).toBe(1);
    expect(postsOf(id)).toEqual([]);
  });

  it('is counted and listed if nothing is known of it', async () => {
    const id = randomUUID();
    const before = settlement.numbers.telling.unknown;
    settlement.hint({ flowRunId: id });
    await expect.poll(() => settlement.numbers.telling.unknown, PATIENCE).toBe(before + 1);
    await expect.poll(() => listed(id), PATIENCE).toMatchObject({ state_id: null, delivery: 'unknown' });
  });
});

describe('A run with a label that Prefect cannot show', () => {
  it('is found and delivered from its states, though nothing has told of it', async () => {
    const since = new Date(Date.now() - 60_000).toISOString();
    const { id, stateId } = await ended();
    await c.seed.call('PATCH', `/flow_runs/${id}/labels`, { broken: null });
    try {
      expect(await listEndedIds(client.session(), since)).toContain(id);
      settlement.hint({ flowRunId: id });
      await expect.poll(() => postsOf(id).length, PATIENCE).toBe(1);
      expect(postsOf(id)[0]!.headers).toMatchObject({
        'webhook-id': `${id}:${stateId}`,
        'x-flow-run-source': 'state_change',
      });
      await expect.poll(() => listed(id), PATIENCE).toMatchObject({ delivery: 'delivered' });
    } finally {
      await c.seed.call('PATCH', `/flow_runs/${id}/labels`, { broken: '' });
    }
    const { labels } = (await c.seed.call('GET', `/flow_runs/${id}`)) as { labels: Record<string, string> };
    expect(labels[channel.labels.settled]).toBe(stateId);
  });
});
