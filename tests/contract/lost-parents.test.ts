import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config.js';
import { createClient } from '../../src/create-client.js';
import { HostWebhook } from '../../src/host/webhook.js';
import type { PrefectClient } from '../../src/prefect/client.js';
import { RunPoller } from '../../src/services/poll.js';
import { Channel, DEFAULT_CHANNEL } from '../../src/services/settlement/channel.js';
import { Settlement } from '../../src/services/settlement/settlement.js';
import { contract } from '../support/contract.js';
import { COMPLETED, FAILED, RUNNING, type StateInput } from '../support/seed.js';
import { startFakeHost, type FakeHost } from '../support/settlement/fake-host.js';

const c = contract();
const logger = { info: () => {}, warn: () => {}, error: () => {}, close: () => Promise.resolve() };
let host: FakeHost;
let webhook: HostWebhook;
let client: PrefectClient;
let settlement: Settlement;
beforeAll(async () => {
  host = await startFakeHost();
  webhook = new HostWebhook({ url: host.url, timeoutSeconds: 10, concurrency: 4 });
  client = createClient(loadConfig({ PREFECT_API_RETRY_DELAY: '0.05' }), c.apiUrl);
  settlement = new Settlement({
    client,
    poller: new RunPoller(),
    host: webhook,
    channel: new Channel(DEFAULT_CHANNEL),
    logger,
    graceSeconds: 60,
  });
});
afterAll(async () => {
  await settlement.close();
  await webhook.close();
  await client.close();
  await host.close();
});

const CRASHED = { type: 'CRASHED', name: 'Crashed' };
const CANCELLED = { type: 'CANCELLED', name: 'Cancelled' };
const labelsOf = async (id: string) =>
  ((await c.seed.call('GET', `/flow_runs/${id}`)) as { labels: Record<string, unknown> }).labels;
const deleteRun = (id: string) => c.seed.call('DELETE', `/flow_runs/${id}`);
const end = (id: string, state: StateInput, force: boolean) =>
  c.seed.call('POST', `/flow_runs/${id}/set_state`, { state, force });

describe('The host does not hear of a subflow whose parent was deleted', () => {
  const cases = [COMPLETED, FAILED, CRASHED, CANCELLED].flatMap((state) =>
    (['before', 'after'] as const).flatMap((when) =>
      [true, false].flatMap((force) =>
        [false, true].map((own) => [state.type, when, force, own, state] as const),
      ),
    ),
  );

  it.each(cases)('%s, the parent deleted %s its end, forced: %s, of a deployment: %s', async (...args) => {
    const [, when, force, isOfDeployment, state] = args;
    const parent = await c.seed.flowRun({ states: [RUNNING] });
    const deployment = isOfDeployment ? { deploymentId: await c.seed.deployment() } : {};
    const { id } = await c.seed.subflow(parent, { ...deployment, states: [RUNNING] });
    if (when === 'before') await deleteRun(parent);
    await end(id, state, force);
    if (when === 'after') await deleteRun(parent);
    settlement.hint({ flowRunId: id });
    const other = await c.seed.flowRun({ states: [RUNNING, state] });
    settlement.hint({ flowRunId: other });
    await expect
      .poll(async () => (await labelsOf(id))['prefect-proxy.cleaned'], { timeout: 30_000, interval: 50 })
      .toBeDefined();
    await expect
      .poll(() => host.posts.some(({ text }) => text.includes(other)), { timeout: 30_000 })
      .toBe(true);
    expect(host.posts.filter(({ text }) => text.includes(id))).toEqual([]);
    const listed = await c.host.get('/proxy/v1/deliveries?limit=200&state=pending');
    await expect
      .poll(async () => (await labelsOf(other))['prefect-proxy.settled'], { timeout: 30_000, interval: 50 })
      .toBeDefined();
    expect(listed.status).toBe(200);
    const shown = await c.host.get('/proxy/v1/deliveries?limit=200&state=not_wanted');
    expect(shown.text).toContain(id);
  });
});
