import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config.js';
import { HostWebhook } from '../../src/host/webhook.js';
import { createClient } from '../../src/create-client.js';
import { serve, type Facade } from '../../src/serve.js';
import type { Hint, OnHint } from '../../src/services/hints.js';
import { RunPoller } from '../../src/services/poll.js';
import { Channel, DEFAULT_CHANNEL } from '../../src/services/settlement/channel.js';
import { LABELS } from '../../src/services/settlement/progress.js';
import { Settlement } from '../../src/services/settlement/settlement.js';
import { contract } from '../support/contract.js';
import { Host } from '../support/host.js';
import { COMPLETED, FAILED, RUNNING, isoTime, micros } from '../support/seed.js';

const { labels: NOTED } = new Channel(DEFAULT_CHANNEL);

const c = contract();
const PATH = '/proxy/v1/deliveries';
const UNKNOWN = '00000000-0000-4000-8000-000000000000';
const logger = { info: () => {}, warn: () => {}, error: () => {}, close: () => Promise.resolve() };

const hints: Hint[] = [];
let facade: Facade;
/** Of a facade that delivers. */
let host: Host;
/** Where its hints go. */
let onHint: OnHint = collect;
function collect(hint: Hint): void {
  hints.push(hint);
}

const configOf = (env: Record<string, string>) => ({
  ...loadConfig({ PREFECT_API_RETRY_DELAY: '0.05', ...env }),
  PREFECT_API_URL: c.apiUrl,
});
beforeAll(async () => {
  const config = configOf({ HOST_WEBHOOK_URL: 'http://127.0.0.1:9/' });
  facade = await serve({
    config,
    logger,
    port: 0,
    hint: (hint) => {
      onHint(hint);
    },
  });
  host = new Host(facade.url);
});
beforeEach(() => {
  hints.length = 0;
});
afterAll(async () => {
  await host.close();
  await facade.close();
});

interface Row {
  flow_run_id: string;
  delivery: string;
  ended_at: string;
}
interface List {
  deliveries: Row[];
  next_cursor: string | null;
  unreadable: number;
}
async function list(query: Record<string, string>): Promise<List> {
  const reply = await c.host.get(`${PATH}?${new URLSearchParams(query).toString()}`);
  expect(reply.status, reply.text).toBe(200);
  return reply.json as List;
}
const idsOf = ({ deliveries }: List) => deliveries.map((row) => row.flow_run_id);

interface Run {
  id: string;
  name: string;
  state: { id: string; type: string; name: string };
  end_time: string;
  labels: Record<string, unknown>;
}
const read = async (id: string) => (await c.seed.call('GET', `/flow_runs/${id}`)) as Run;
const label = (id: string, labels: Record<string, unknown>) =>
  c.seed.call('PATCH', `/flow_runs/${id}/labels`, labels);

const NEXT = '2030-01-31T03:00:00.000Z';
const LEFT_OFF = { attempts: 2, next: NEXT, last: '500', dead: false };
const GIVEN_UP = { attempts: 11, next: null, last: 'ECONNREFUSED', dead: true };
const record = (stateId: string, fields: typeof LEFT_OFF | typeof GIVEN_UP) => ({
  [NOTED.delivery]: JSON.stringify({ state: stateId, ...fields }),
});

/** Runs that ended one after the other, of each kind one. */
async function makeRuns() {
  const ended = async (state = FAILED) => read(await c.seed.flowRun({ states: [RUNNING, state] }));
  const delivered = await ended(COMPLETED);
  await label(delivered.id, {
    ...record(delivered.state.id, LEFT_OFF),
    [NOTED.settled]: delivered.state.id,
    [LABELS.cleaned]: delivered.state.id,
  });
  const dead = await ended();
  await label(dead.id, record(dead.state.id, GIVEN_UP));
  const waiting = await ended();
  await label(waiting.id, record(waiting.state.id, LEFT_OFF));
  const fresh = await ended();
  // Labels of a state before count for nothing.
  const revived = await ended();
  await label(revived.id, {
    ...record(revived.state.id, GIVEN_UP),
    [NOTED.settled]: revived.state.id,
    [LABELS.cleaned]: revived.state.id,
  });
  await c.seed.setState('flow_runs', revived.id, RUNNING);
  await c.seed.setState('flow_runs', revived.id, FAILED);
  const last = await read(revived.id);
  return { delivered, dead, waiting, fresh, revived: last, since: delivered.end_time, until: last.end_time };
}
type Runs = Awaited<ReturnType<typeof makeRuns>>;

describe(`GET ${PATH}`, () => {
  let runs: Runs;
  beforeAll(async () => {
    runs = await makeRuns();
    await c.seed.flowRun({ states: [RUNNING] });
    await c.seed.subflow(runs.fresh.id, { states: [RUNNING, COMPLETED] });
  });

  const row = ({ id, name, state, end_time }: Run) => ({
    flow_run_id: id,
    name,
    state_id: state.id,
    state_type: state.type,
    state_name: state.name,
    ended_at: end_time,
  });
  const NONE = { attempts: 0, next_attempt: null, last: null, cleaned: false };

  it('lists the top-level runs that ended, the latest first, with what is known of their delivery', async () => {
    const { delivered, dead, waiting, fresh, revived, since } = runs;
    expect(await list({ since })).toEqual({
      deliveries: [
        { ...row(revived), delivery: 'pending', ...NONE },
        { ...row(fresh), delivery: 'pending', ...NONE },
        { ...row(waiting), delivery: 'pending', ...NONE, attempts: 2, next_attempt: NEXT, last: '500' },
        { ...row(dead), delivery: 'dead', ...NONE, attempts: 11, last: 'ECONNREFUSED' },
        { ...row(delivered), delivery: 'delivered', ...NONE, attempts: 2, last: '500', cleaned: true },
      ],
      next_cursor: null,
      unreadable: 0,
    });
  });

  it.each([
    ['pending', ['revived', 'fresh', 'waiting']],
    ['dead', ['dead']],
    ['delivered', ['delivered']],
  ] as const)('state=%s', async (state, kinds) => {
    const { since, until } = runs;
    expect(idsOf(await list({ since, until, state }))).toEqual(kinds.map((kind) => runs[kind].id));
  });

  it('takes both ends of the range, to the microsecond', async () => {
    const { dead, waiting } = runs;
    const [from, to] = [micros(dead.end_time), micros(waiting.end_time)];
    const between = (since: number, until: number) => list({ since: isoTime(since), until: isoTime(until) });
    expect(idsOf(await between(from, to))).toEqual([waiting.id, dead.id]);
    expect(idsOf(await between(from + 1, to))).toEqual([waiting.id]);
    expect(idsOf(await between(from, to - 1))).toEqual([dead.id]);
  });

  it.each<[string, (time: string) => string]>([
    ['no zone', (time) => time.replace('Z', '')],
    ['another zone', (time) => isoTime(micros(time) + 5.5 * 3_600_000_000).replace('Z', '+05:30')],
    ['a blank instead of T', (time) => time.replace('T', ' ')],
  ])('times with %s', async (_, written) => {
    const { dead, waiting } = runs;
    const range = { since: written(dead.end_time), until: written(waiting.end_time) };
    expect(idsOf(await list(range))).toEqual([waiting.id, dead.id]);
  });

  it('without a range shows the last 24 hours; with an end only, the 24 hours before it', async () => {
    const { since, until, delivered } = runs;
    expect(idsOf(await list({ limit: '5' }))).toEqual(idsOf(await list({ since })));
    expect(idsOf(await list({ since: '', until, state: 'delivered' }))).toContain(delivered.id);
    expect(idsOf(await list({ until: isoTime(micros(since) - 1) }))).not.toContain(delivered.id);
  });

  it('goes on at a cursor, though a run revives in between and another one ends', async () => {
    const mine = await makeRuns();
    const { since, until } = mine;
    const first = await list({ since, until, limit: '2' });
    expect(idsOf(first)).toEqual([mine.revived.id, mine.fresh.id]);
    await c.seed.setState('flow_runs', mine.fresh.id, RUNNING);
    await c.seed.setState('flow_runs', mine.waiting.id, RUNNING);
    await c.seed.flowRun({ states: [RUNNING, COMPLETED] });
    const second = await list({ since, until, limit: '2', cursor: first.next_cursor! });
    expect(idsOf(second)).toEqual([mine.dead.id, mine.delivered.id]);
    expect(second.next_cursor).toBeNull();
  });

  it('leaves out a run that the orchestrator cannot show, and says so', async () => {
    const id = await c.seed.flowRun({ states: [RUNNING, COMPLETED] });
    await label(id, { broken: null });
    try {
      const found = await list({ since: runs.since, until: runs.until });
      expect(found).toMatchObject({ unreadable: 0 });
      const all = await list({ since: runs.since });
      expect(all.unreadable).toBe(1);
      expect(idsOf(all)).not.toContain(id);
      expect(idsOf(all)).toEqual(expect.arrayContaining(idsOf(found)));
    } finally {
      await label(id, { broken: '' });
    }
  });

  it.each([
    ['cursor=', 'value_error', 'cursor'],
    ['cursor=x', 'value_error', 'cursor'],
    [
      `cursor=${Buffer.from(`2026-01-31T03:00:00Z ${UNKNOWN}`).toString('base64url')}`,
      'value_error',
      'cursor',
    ],
    ['limit=0', 'greater_than_equal', 'limit'],
    ['limit=-1', 'greater_than_equal', 'limit'],
    ['limit=201', 'less_than_equal', 'limit'],
    ['limit=x', 'int_parsing', 'limit'],
    ['state=lost', 'literal_error', 'state'],
    ['since=soon', 'datetime_from_date_parsing', 'since'],
    ['until=soon', 'datetime_from_date_parsing', 'until'],
    ['since=2026-02-01&until=2026-01-31', 'value_error', 'since'],
    ['since=2999-01-01', 'value_error', 'since'],
    ['until=0001-01-01', 'datetime_from_date_parsing', 'since'],
  ])('?%s is refused', async (query, type, field) => {
    const reply = await c.host.get(`${PATH}?${query}`);
    expect(reply).toMatchObject({ status: 422, json: { detail: [{ type, loc: ['query', field] }] } });
  });
});

describe(`POST ${PATH}/{flow_run_id}/replay`, () => {
  const replay = (id: string) => host.post(`${PATH}/${id}/replay`);

  it.each(['dead', 'delivered', 'waiting', 'fresh'] as const)(
    'one that is %s: pending again, under the webhook-id of before',
    async (kind) => {
      const { id, state, end_time: since } = (await makeRuns())[kind];
      const reply = await replay(id);
      expect(reply).toMatchObject({
        status: 200,
        json: { flow_run_id: id, webhook_id: `${id}:${state.id}` },
      });
      expect(hints).toEqual([{ flowRunId: id, replay: true }]);
      const { deliveries } = await list({ since, until: since });
      expect(deliveries).toMatchObject([
        { delivery: 'pending', attempts: 0, next_attempt: null, last: null },
      ]);
    },
  );

  it('leaves what the run has been cleaned up of', async () => {
    const { id, state } = (await makeRuns()).delivered;
    await replay(id);
    expect((await read(id)).labels).toMatchObject({ [LABELS.cleaned]: state.id });
  });

  it.each([
    [
      'an unknown run',
      () => Promise.resolve(UNKNOWN),
      404,
      `failed to replay the delivery of flow_run ${UNKNOWN}`,
    ],
    ['no id', () => Promise.resolve('recover'), 404, 'failed to replay the delivery of flow_run recover'],
    ['a run that runs', () => c.seed.flowRun({ states: [RUNNING] }), 409, 'has not ended'],
    ['a run that has not begun', () => c.seed.flowRun(), 409, 'has not ended'],
    [
      'a subflow',
      async () => {
        const parent = await c.seed.flowRun({ states: [RUNNING] });
        return (await c.seed.subflow(parent, { states: [RUNNING, COMPLETED] })).id;
      },
      409,
      'is a subflow',
    ],
  ] as const)('%s: %3$i', async (_, make, status, detail) => {
    expect(await replay(await make())).toMatchObject({
      status,
      json: { detail: expect.stringContaining(detail) as string },
    });
    expect(hints).toEqual([]);
  });
});

describe('A run that was started with X-Notify: false', () => {
  it('is listed as not wanted, is not recovered, and cannot be replayed', async () => {
    const id = await c.seed.flowRun({ states: [RUNNING] });
    await label(id, { 'prefect-proxy.notify': 'false' });
    await c.seed.setState('flow_runs', id, FAILED);
    const { end_time: since } = await read(id);
    const range = { since, until: since };
    expect((await list(range)).deliveries).toMatchObject([{ flow_run_id: id, delivery: 'not_wanted' }]);
    expect(idsOf(await list({ ...range, state: 'not_wanted' }))).toEqual([id]);
    expect(idsOf(await list({ ...range, state: 'pending' }))).toEqual([]);
    for (const state of [undefined, 'all']) {
      const reply = await host.post(`${PATH}/recover`, { ...range, state });
      expect(reply.json).toMatchObject({ found: 0, replayed: 0 });
    }
    expect(await host.post(`${PATH}/${id}/replay`)).toMatchObject({
      status: 409,
      json: { code: 'conflict' },
    });
    expect(hints).toEqual([]);
  });
});

describe(`POST ${PATH}/recover`, () => {
  interface Recovered {
    found: number;
    replayed: number;
    reached: string;
    next_cursor: string | null;
  }
  async function recover(body: Record<string, unknown>): Promise<Recovered> {
    const reply = await host.post(`${PATH}/recover`, body);
    expect(reply.status, reply.text).toBe(200);
    return reply.json as Recovered;
  }

  it.each([
    [undefined, ['dead', 'waiting', 'fresh', 'revived']],
    ['dead', ['dead']],
    ['pending', ['waiting', 'fresh', 'revived']],
    ['all', ['delivered', 'dead', 'waiting', 'fresh', 'revived']],
  ] as const)('state %s: resets and hints these, and no others', async (state, kinds) => {
    const runs = await makeRuns();
    const { since, until } = runs;
    const before = await list({ since, until });
    const ids = kinds.map((kind) => runs[kind].id);
    expect(await recover({ since, until, ...(state && { state }) })).toEqual({
      found: ids.length,
      replayed: ids.length,
      reached: since.replace('Z', '+00:00'),
      next_cursor: null,
      unreadable: 0,
    });
    expect(hints.map(({ flowRunId }) => flowRunId).sort()).toEqual([...ids].sort());
    const after = await list({ since, until });
    expect(
      after.deliveries.map((row, index) => [row.flow_run_id, row.delivery, before.deliveries[index]]),
    ).toEqual(
      before.deliveries.map((row) => [
        row.flow_run_id,
        ids.includes(row.flow_run_id) ? 'pending' : row.delivery,
        row,
      ]),
    );
    const reset = after.deliveries.filter((row) => ids.includes(row.flow_run_id));
    for (const row of reset) expect(row).toMatchObject({ attempts: 0, next_attempt: null, last: null });
  });

  it(
    'does 100 runs a request, each once, also where they are reset already',
    { timeout: 120_000 },
    async () => {
      const state = COMPLETED;
      const ids: string[] = [];
      for (let n = 0; n < 205; n += 1) ids.push(await c.seed.flowRun({ state }));
      const [since, until] = [(await read(ids[0]!)).end_time, (await read(ids.at(-1)!)).end_time];
      const replies: Recovered[] = [];
      for (let cursor: string | null | undefined; cursor !== null; cursor = replies.at(-1)!.next_cursor) {
        replies.push(await recover({ since, until, cursor }));
      }
      expect(replies.map(({ replayed }) => replayed)).toEqual([100, 100, 5]);
      expect(hints.map(({ flowRunId }) => flowRunId).sort()).toEqual([...ids].sort());
      const reached = replies.map((reply) => micros(reply.reached.replace('+00:00', 'Z')));
      expect(reached).toEqual([...reached].sort((a, b) => b - a));
      expect(reached.at(-1)).toBe(micros(since));
    },
  );

  it.each<[Record<string, unknown> | undefined, string, (string | number)[]]>([
    [{}, 'missing', ['body', 'since']],
    [{ since: null }, 'datetime_type', ['body', 'since']],
    [{ since: 'soon' }, 'datetime_from_date_parsing', ['body', 'since']],
    [{ since: '2026-02-01', until: '2026-01-31' }, 'value_error', ['body', 'since']],
    [{ since: '2999-01-01' }, 'value_error', ['body', 'since']],
    [{ since: '2026-02-01', until: 'soon' }, 'datetime_from_date_parsing', ['body', 'until']],
    [{ since: '2026-02-01', state: 'delivered' }, 'literal_error', ['body', 'state']],
    [{ since: '2026-02-01', cursor: 'x' }, 'value_error', ['body', 'cursor']],
  ])('%j is refused', async (body, type, loc) => {
    const reply = await host.post(`${PATH}/recover`, body);
    expect(reply).toMatchObject({ status: 422, json: { detail: [{ type, loc }] } });
    expect(hints).toEqual([]);
  });
});

describe('A facade that delivers nothing', () => {
  it.each([
    ['HOST_WEBHOOK_URL is not set', {}],
    ['RECONCILE_INTERVAL is 0', { HOST_WEBHOOK_URL: 'http://127.0.0.1:9/', RECONCILE_INTERVAL: '0' }],
  ])('because %s: lists, and refuses to replay', async (why, env) => {
    const { dead, since, until } = await makeRuns();
    const other = await serve({ config: configOf(env), logger, port: 0 });
    const at = new Host(other.url);
    expect((await at.get(`${PATH}?since=${since}&until=${until}`)).json).toMatchObject({
      deliveries: { length: 5 },
    });
    for (const [path, body] of [
      [`${PATH}/${dead.id}/replay`, undefined],
      [`${PATH}/recover`, { since }],
    ] as const) {
      expect(await at.post(path, body)).toMatchObject({
        status: 503,
        json: { code: 'not_configured', detail: expect.stringContaining(why) as string },
      });
    }
    expect((await list({ since, until, state: 'dead' })).deliveries).toHaveLength(1);
    await at.close();
    await other.close();
  });
});

describe('Settlement', () => {
  it('tells the host of what was replayed, again with the same webhook-id', async () => {
    const told: (string | undefined)[] = [];
    const receiver = createServer((request, response) => {
      told.push(request.headersDistinct['webhook-id']?.[0]);
      request.resume();
      response.end();
    });
    await once(receiver.listen(0, '127.0.0.1'), 'listening');
    const { port } = receiver.address() as AddressInfo;
    const client = createClient(loadConfig({ PREFECT_API_RETRY_DELAY: '0.05' }), c.apiUrl);
    const webhook = new HostWebhook({ url: `http://127.0.0.1:${port}/`, timeoutSeconds: 10, concurrency: 1 });
    const poller = new RunPoller();
    const settlement = new Settlement({
      channel: new Channel(DEFAULT_CHANNEL),
      client,
      poller,
      host: webhook,
      logger,
      graceSeconds: 0,
    });
    const { dead, waiting, fresh, revived, delivered, since, until } = await makeRuns();
    const gone = `${delivered.id}:${delivered.state.id}`;
    onHint = settlement.hint;
    try {
      await host.post(`${PATH}/recover`, { since, until });
      await expect
        .poll(() => list({ since, until, state: 'delivered' }), { timeout: 20_000 })
        .toMatchObject({
          deliveries: { length: 5 },
        });
      expect([...told].sort()).toEqual(
        [dead, waiting, fresh, revived].map(({ id, state }) => `${id}:${state.id}`).sort(),
      );
      told.length = 0;
      expect(await host.post(`${PATH}/${delivered.id}/replay`)).toMatchObject({ json: { webhook_id: gone } });
      await expect.poll(() => told, { timeout: 20_000 }).toEqual([gone]);
    } finally {
      onHint = collect;
      await settlement.close();
      await webhook.close();
      await client.close();
      receiver.close();
    }
  });
});
