import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { loadConfig } from '../../src/config.js';
import type { PrefectClient } from '../../src/prefect/client.js';
import { createClient } from '../../src/create-client.js';
import { ensureWebhook, removeWebhook } from '../../src/services/webhook-registration.js';
import { webhookStatus } from '../../src/services/webhook-status.js';
import { webhookTarget } from '../../src/services/webhook-target.js';
import { testWebhook, type Hop } from '../../src/services/webhook-test.js';
import { contract } from '../support/contract.js';
import { startReceiver, type Receiver } from '../support/receiver.js';

const NAME = 'prefect-proxy-webhook';
const KEY = 'canary-{{body}}-key';

const c = contract();
let client: PrefectClient;
let receiver: Receiver;

beforeAll(async () => {
  receiver = await startReceiver();
  client = createClient(loadConfig({ PREFECT_API_RETRY_DELAY: '0.05' }), c.apiUrl);
});
beforeEach(async () => {
  await ensure();
  receiver.received.length = 0;
});
afterEach(async () => {
  receiver.status = 200;
  receiver.onPost = () => undefined;
  await removeWebhook(client);
});
afterAll(async () => {
  await client.close();
  await receiver.close();
});

function config(env: Record<string, string> = {}) {
  const all = {
    PREFECT_API_URL: c.apiUrl,
    PREFECT_NOTIFICATIONS_WEBHOOK_KEY: `${KEY},old`,
    WEBHOOK_PUBLIC_URL: receiver.url,
    WEBHOOK_AUTO_REGISTER: 'true',
    ...env,
  };
  return { ...loadConfig(all), PREFECT_API_URL: all.PREFECT_API_URL };
}
const ensure = (env: Record<string, string> = {}) => ensureWebhook(client, webhookTarget(config(env), ''));
const status = (env: Record<string, string> = {}) => webhookStatus(client, config(env), '');
const problems = async (env?: Record<string, string>) => (await status(env)).problems.map(({ text }) => text);

const rows = z.array(z.looseObject({ id: z.string(), name: z.string() }));
async function automations(name: string) {
  const filter = { automations: { name: { any_: [name] } } };
  return rows.parse(await c.seed.call('POST', '/automations/filter', filter));
}
const withId = z.looseObject({ id: z.string() });
const path = `/block_types/slug/custom-webhook/block_documents/name/${NAME}`;
const block = async () => withId.parse(await c.seed.call('GET', path));

/** An automation of the real kind, and what is to be different in it. */
async function automation(name: string, over: Record<string, unknown> = {}) {
  const [own] = await automations(NAME);
  const { trigger, actions } = own!;
  return withId.parse(await c.seed.call('POST', '/automations/', { name, trigger, actions, ...over })).id;
}

/** Asks for events until something has come; the mock acts when it is asked. */
async function arrived(text: string) {
  const body = { body: expect.stringContaining(text) as string };
  await expect
    .poll(
      async () => {
        await c.seed.call('POST', '/events/filter', { limit: 1 });
        return receiver.received.map((post) => post.body);
      },
      { timeout: 15_000 },
    )
    .toContainEqual(body);
  return receiver.received.filter((post) =>
    z.object({ body: z.string() }).parse(post.body).body.includes(text),
  );
}

/** What is posted of the state that a run is in now: its id is that of the state. */
async function eventOf(id: string): Promise<string> {
  const { state } = z
    .object({ state: z.object({ id: z.string(), type: z.string() }) })
    .parse(await c.seed.call('GET', `/flow_runs/${id}`));
  const resource = { 'prefect.resource.id': `prefect.flow-run.${id}`, 'prefect.state-type': state.type };
  return JSON.stringify({ id: state.id, event: 'prefect.flow-run.ended', resource });
}

describe('What is registered', () => {
  it('is made once and then left as it is', async () => {
    await removeWebhook(client);
    const [first, second] = [await ensure(), await ensure()];
    expect(first.map(({ what, done }) => [what, done])).toEqual([
      ['block document', 'made'],
      ['automation', 'made'],
    ]);
    expect(second).toEqual(first.map((change) => ({ ...change, done: 'left as it is' })));
    expect(await problems()).toEqual([]);
  });

  it('does not show its key', async () => {
    expect(JSON.stringify(await block())).not.toContain(KEY);
    expect(JSON.stringify(await automations(NAME))).not.toContain(KEY);
  });

  it.each([
    ['COMPLETED', 'Completed', 'plain'],
    ['FAILED', 'Failed', 'two\nlines "quoted" \\ and \'so\''],
    ['FAILED', 'TimedOut', '{{ flow_run.id }} {{body}} {% raw %} {key}'],
    ['CRASHED', 'Crashed', 'ünï ✓ 名前 🦦'],
    ['CANCELLED', 'Cancelled', '<b>with id x entered state y'],
    ['COMPLETED', 'All "good" ✓', 'custom'],
    ['CANCELLED', 'Skipped', ''],
  ])('posts %s, named %s, with the id of the state: run %j', async (type, name, text) => {
    const runName = c.seed.name(text).replaceAll(/[/%&<>]/g, '_');
    const id = await c.seed.flowRun({ name: runName, states: [{ type: 'RUNNING' }, { type, name }] });
    expect(await arrived(id)).toEqual([
      {
        path: '/webhooks/v1/notification/',
        key: KEY,
        body: { body: await eventOf(id) },
      },
    ]);
  });

  it('posts each end of a run that ends twice', async () => {
    const states = [
      { type: 'CRASHED', name: 'Crashed' },
      { type: 'COMPLETED', name: 'Completed' },
    ];
    const id = await c.seed.flowRun({ states });
    const about = (type: string) => `"prefect.flow-run.${id}","prefect.state-type":"${type}"`;
    await arrived(about('CRASHED'));
    expect(await arrived(about('COMPLETED'))).toMatchObject([{ body: { body: await eventOf(id) } }]);
  });
});

describe('What has changed', () => {
  it('is the key: the status names the field, the next registration sends the new one', async () => {
    const rotated = { PREFECT_NOTIFICATIONS_WEBHOOK_KEY: 'new-key' };
    expect(await problems(rotated)).toEqual(['the block document differs in secrets.key']);
    expect((await ensure(rotated)).map(({ done, fields }) => [done, fields])).toEqual([
      ['changed', ['secrets.key']],
      ['left as it is', undefined],
    ]);
    expect(await problems(rotated)).toEqual([]);
    const id = await c.seed.flowRun({ states: [{ type: 'COMPLETED' }] });
    expect(await arrived(id)).toMatchObject([{ key: 'new-key' }]);
  });

  it('is the block: what someone wrote into it is undone', async () => {
    const data = {
      url: 'http://127.0.0.1:1/',
      headers: { 'X-Notification-Key': 'by hand' },
      cookies: { a: 'b' },
    };
    await c.seed.call('PATCH', `/block_documents/${(await block()).id}`, { data });
    const text = (await problems()).join();
    expect(text).toBe('the block document differs in url, headers.X-Notification-Key, cookies');
    await ensure();
    expect(await problems()).toEqual([]);
  });

  it('is the automation: it is replaced', async () => {
    const [own] = await automations(NAME);
    const trigger = { ...(own!['trigger'] as object), within: 5, expect: ['prefect.flow-run.Completed'] };
    const wrong = await automation(NAME, { trigger });
    await c.seed.call('DELETE', `/automations/${own!.id}`);
    expect(await problems()).toEqual(['the automation differs in trigger.expect, trigger.within']);
    const changes = await ensure();
    expect(changes).toContainEqual({
      what: 'automation',
      id: wrong,
      done: 'deleted',
      fields: ['trigger.expect', 'trigger.within'],
    });
    expect(await problems()).toEqual([]);
    expect(await automations(NAME)).toHaveLength(1);
  });

  it('is that it was switched off', async () => {
    const [own] = await automations(NAME);
    await c.seed.call('PATCH', `/automations/${own!.id}`, { enabled: false });
    expect(await problems()).toEqual(['the automation is switched off']);
    expect((await ensure()).at(-1)).toEqual({ what: 'automation', id: own!.id, done: 'switched on' });
    expect(await problems()).toEqual([]);
  });

  it('is that half of it is gone', async () => {
    await c.seed.call('DELETE', `/block_documents/${(await block()).id}`);
    expect(await problems()).toContain(`not registered: there is no block document ${NAME}`);
    await ensure();
    expect(await problems()).toEqual([]);
    expect(await automations(NAME)).toHaveLength(1);
  });
});

describe('What is there twice', () => {
  it('is told, and of ours the oldest stays', async () => {
    const [own] = await automations(NAME);
    const younger = await automation(NAME);
    expect(await problems()).toEqual([`there is another automation of this name (${younger})`]);
    await ensure();
    expect((await automations(NAME)).map(({ id }) => id)).toEqual([own!.id]);
  });

  it('is told, and what someone else made stays', async () => {
    const name = c.seed.name('by-hand');
    const schema = z.object({ block_schema_id: z.string(), block_type_id: z.string() }).parse(await block());
    const data = { name, url: `${receiver.url}/webhooks/v1/notification`, method: 'POST' };
    const made = withId.parse(await c.seed.call('POST', '/block_documents/', { name, data, ...schema })).id;
    expect(await problems()).toEqual([]);
    const [own] = await automations(NAME);
    const actions = [{ ...(own!['actions'] as object[])[0], block_document_id: made }];
    const other = await automation(name, { actions });
    expect(await problems()).toEqual([`the automation ${name} (${other}) posts to the same URL`]);
    await ensure();
    await removeWebhook(client);
    expect((await automations(name)).map(({ id }) => id)).toEqual([other]);
    await c.seed.call('DELETE', `/automations/${other}`);
    await c.seed.call('DELETE', `/block_documents/${made}`);
  });

  /** A block of Prefect's type `webhook`, as people make it, and an automation that calls it. */
  async function madeByHand(url: string) {
    const name = c.seed.name('called');
    const { id: type } = withId.parse(
      await c.seed
        .call('GET', '/block_types/slug/webhook')
        .catch(() => c.seed.call('POST', '/block_types/', { name: 'Webhook', slug: 'webhook' })),
    );
    const fields = { block_type_slug: 'webhook', type: 'object', title: 'Webhook', properties: {} };
    const wanted = { block_schemas: { block_type_id: { any_: [type] } } };
    const [known] = z.array(withId).parse(await c.seed.call('POST', '/block_schemas/filter', wanted));
    const schema =
      known ?? withId.parse(await c.seed.call('POST', '/block_schemas/', { fields, block_type_id: type }));
    const data = { url, method: 'POST' };
    const document = { name, data, block_type_id: type, block_schema_id: schema.id };
    const made = withId.parse(await c.seed.call('POST', '/block_documents/', document)).id;
    const payload = '{"body": "Flow run {{ flow_run.name }} with id {{ flow_run.id }} entered state x"}';
    const actions = [{ type: 'call-webhook', block_document_id: made, payload }];
    const id = await automation(name, { actions });
    return {
      about: `the automation ${name} (${id}) posts to`,
      remove: async () => {
        await c.seed.call('DELETE', `/automations/${id}`);
        await c.seed.call('DELETE', `/block_documents/${made}`);
      },
    };
  }

  it('is told of a webhook that is called by hand, by whichever name of this machine', async () => {
    const { port } = new URL(receiver.url);
    const { about, remove } = await madeByHand(`http://localhost:${port}/webhooks/v1/notification?from=here`);
    expect(await problems()).toEqual([`${about} the same URL`]);
    await remove();
    expect(await problems()).toEqual([]);
  });

  it('is told of one that is all there is, although none is needed', async () => {
    const { about, remove } = await madeByHand(`${receiver.url}/webhooks/v1/notification/`);
    await removeWebhook(client);
    const found = await status({ WEBHOOK_AUTO_REGISTER: 'auto' });
    expect(found.isNotNeeded).toBe(true);
    expect(found.problems).toEqual([{ kind: 'twice', text: `${about} the same URL` }]);
    await remove();
  });

  it('is told of one that posts to the host itself', async () => {
    const url = 'http://127.0.0.1:9/webhooks/v1/notification/';
    const { about, remove } = await madeByHand(url);
    expect(await problems()).toEqual([]);
    expect(await problems({ HOST_WEBHOOK_URL: url })).toEqual([
      `${about} HOST_WEBHOOK_URL itself: the host gets its news twice`,
    ]);
    await remove();
  });

  it('is not what instances make that start at the same time', async () => {
    await removeWebhook(client);
    await Promise.all([ensure(), ensure(), ensure()]);
    expect(await automations(NAME)).toHaveLength(1);
    expect(await problems()).toEqual([]);
  });
});

describe('What is taken away', () => {
  it('is all of ours, and then nothing', async () => {
    const done = (await removeWebhook(client)).map((change) => [change.what, change.done]);
    expect(done).toEqual([
      ['automation', 'deleted'],
      ['block document', 'deleted'],
    ]);
    expect(await removeWebhook(client)).toEqual([]);
    expect((await status()).problems.map(({ kind }) => kind)).toEqual(['missing', 'missing']);
  });
});

describe('Where the events websocket opens', () => {
  it('nothing need be registered, and the status says so', async () => {
    await removeWebhook(client);
    const found = await status({ WEBHOOK_AUTO_REGISTER: 'auto' });
    expect([found.isNotNeeded, found.problems]).toEqual([true, []]);
  });

  it('what is registered all the same is looked at', async () => {
    await ensure();
    const found = await status({ WEBHOOK_AUTO_REGISTER: 'auto' });
    expect([found.isNotNeeded, found.problems, found.trigger?.enabled]).toEqual([false, [], true]);
  });
});

describe('A test', () => {
  const follow = async (timeoutMs: number, env: Record<string, string> = {}) => {
    const hops: Hop[] = [];
    const options = { client, config: config(env), facadeUrl: '', onHop: (hop: Hop) => hops.push(hop) };
    return { came: await testWebhook({ ...options, timeoutMs }), hops };
  };
  const runsLeft = () =>
    c.seed.call('POST', '/flow_runs/count', { flows: { name: { any_: [`${NAME}-test`] } } });

  it.each([
    ['of a facade with a host', { HOST_WEBHOOK_URL: 'http://127.0.0.1:9/' }, 'prefect-proxy.settled'],
    [
      'of one with another host',
      { HOST_WEBHOOK_URL: 'http://127.0.0.1:9/', HOST_WEBHOOK_NAME: 'b' },
      'prefect-proxy.b.settled',
    ],
    ['of one without a host', {}, 'prefect-proxy.cleaned'],
  ])('%s sees each step, and clears up', async (_, env, name) => {
    receiver.onPost = async ({ body }) => {
      const id = /prefect\.flow-run\.([0-9a-f-]{36})/.exec(JSON.stringify(body))?.[1];
      if (id === undefined) return;
      const run = z.object({ state: withId }).parse(await c.seed.call('GET', `/flow_runs/${id}`));
      await c.seed.call('PATCH', `/flow_runs/${id}/labels`, { [name]: run.state.id });
    };
    const { came, hops } = await follow(15_000, env);
    expect(hops.map(({ name, failure }) => [name, failure])).toEqual([
      [`registered at ${receiver.url}/webhooks/v1/notification/`, undefined],
      ['run made', undefined],
      ['state set', undefined],
      ['event listed', undefined],
      ['automation fired', undefined],
      ['webhook answered, says the orchestrator', undefined],
      ['settled by the facade', undefined],
    ]);
    expect(came).toBe(true);
    expect(await runsLeft()).toBe(0);
  });

  it('names the step that failed', async () => {
    receiver.onPost = ({ body }) => {
      if (JSON.stringify(body).includes('prefect.flow-run.')) receiver.status = 500;
    };
    const { came, hops } = await follow(c.mock ? 500 : 8_000);
    expect(came).toBe(false);
    const failed = hops.filter(({ failure }) => failure !== undefined);
    expect(failed.map(({ name }) => name)).toEqual([
      'webhook answered, says the orchestrator',
      'settled by the facade',
    ]);
    expect(failed[0]!.failure).toMatch(/got no 2xx from the URL/);
    expect(failed[1]!.failure).toMatch(/never got the label prefect-proxy\.cleaned/);
    expect(await runsLeft()).toBe(0);
  });

  it('stops where nothing answers at the URL', async () => {
    receiver.status = 401;
    const { came, hops } = await follow(1_000);
    expect([came, hops.length]).toEqual([false, 1]);
    expect(hops[0]!.failure).toBe(`${receiver.url}/webhooks/v1/notification/ refuses the key: 401`);
  });
});
