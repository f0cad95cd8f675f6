import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadConfig } from '../../src/config.js';
import { serve, type Facade } from '../../src/serve.js';
import { Host } from '../support/host.js';
import { COMPLETED, FAILED, SCHEDULED } from '../support/seed.js';
import { bendTime, startRig, type Rig } from '../support/settlement/rig.js';
import { holder } from '../support/settlement/things.js';

let rig: Rig;
let facade: Facade;
let prefect: Host;
beforeEach(async () => {
  bendTime();
  rig = await startRig();
  const settling = rig.start({ RECONCILE_INTERVAL: '86400' });
  await rig.passUntil(async () => (await rig.variable())?.leader, 0);
  const config = loadConfig({ PREFECT_API_URL: rig.mock.url, PREFECT_NOTIFICATIONS_WEBHOOK_KEY: 'key' });
  const logger = { info() {}, warn() {}, error() {}, close: () => Promise.resolve() };
  facade = await serve({
    config: { ...config, PREFECT_API_URL: rig.mock.url },
    logger,
    port: 0,
    hint: settling.hint,
  });
  prefect = new Host(facade.url, { 'x-notification-key': 'key' });
});
afterEach(async () => {
  await prefect.close();
  await facade.close();
  await rig.close();
  vi.useRealTimers();
});

interface Run {
  id: string;
  name: string;
  state: { id: string; type: string; name: string };
}

/** What our own automation posts of a run's state, and what those post that people make. */
function formsOf(run: Run): unknown[] {
  const { id, name, state } = run;
  const resource = { 'prefect.resource.id': `prefect.flow-run.${id}`, 'prefect.state-type': state.type };
  const ours = JSON.stringify({ id: state.id, event: 'prefect.flow-run.ended', resource });
  const sentence = `Flow run ${name} with id ${id} entered state ${state.name}`;
  return [{ body: ours }, { body: sentence }, { body: run }, { body: JSON.stringify(run) }, run];
}

async function post(forms: unknown[]): Promise<void> {
  for (const form of forms) expect((await prefect.post('/webhooks/v1/notification/', form)).status).toBe(200);
}

const read = async (id: string) => (await rig.seed.call('GET', `/flow_runs/${id}`)) as Run;
const delivered = (id: string) => rig.host.posts.filter(({ text }) => text.includes(id));

describe('With a webhook made by hand beside ours', () => {
  it('the host gets each end once, in whatever order and however late the notifications come', async () => {
    const id = await holder(rig.seed, { states: [FAILED] });
    const failed = await read(id);
    await post(formsOf(failed));
    await rig.labelled(id, 'settled', 'cleaned');
    await post(formsOf(failed).reverse());
    await rig.passUntil(() => delivered(id).length > 0, 1);
    await rig.seed.setState('flow_runs', id, SCHEDULED);
    await rig.seed.setState('flow_runs', id, COMPLETED);
    const completed = await read(id);
    await post([...formsOf(failed), ...formsOf(completed), ...formsOf(failed)]);
    await rig.passUntil(() => delivered(id).length > 1, 1);
    await post(formsOf(completed));
    const since = Date.now();
    await rig.passUntil(() => Date.now() - since > 30_000, 5);
    expect(delivered(id).map(({ headers }) => headers['webhook-id'])).toEqual(
      [failed, completed].map(({ state }) => `${id}:${state.id}`),
    );
  });
});
