import { beforeAll, describe, expect, it } from 'vitest';
import { ROUTES, makeGood, type Good } from '../support/all-routes.js';
import { contract, lastUpstreamCalls } from '../support/contract.js';
import type { Reply } from '../support/host.js';
import { COMPLETED } from '../support/seed.js';

/*
 * What Prefect stores and can never read again, or cannot store at all, is refused before it gets there. These tests run
 * on real servers too: each database has inputs of its own that break it.
 */
const c = contract();
let good: Good;
beforeAll(async () => {
  good = await makeGood(c.host, c.seed);
});

type Json = Record<string, unknown>;
type Path = (string | number)[];
const UNKNOWN = '00000000-0000-4000-8000-000000000000';
const HALF = '\ud83d';

/** Requests with a body, also of routes that need a worker or a host to succeed. */
const REQUESTS: { id: string; method: 'POST' | 'PUT' | 'PATCH'; path: () => string; body: () => Json }[] = [
  ...ROUTES.flatMap(({ id, method, path, body }) =>
    body && method !== 'GET' && method !== 'DELETE'
      ? [{ id, method, path: () => path(good), body: () => body(good) as Json }]
      : [],
  ),
  ...['/proxy/flows/shell/run/', '/proxy/v1/flows/dbtcore/run/'].map((path) => ({
    id: path,
    method: 'POST' as const,
    path: () => path,
    body: () => ({ ...sync, env: { A: { b: ['c'] } }, commands: ['echo', { a: 'b' }] }),
  })),
  {
    id: 'recoverDeliveries',
    method: 'POST',
    path: () => '/proxy/v1/deliveries/recover',
    body: () => ({ since: '2026-01-01' }),
  },
];
const sync = {
  type: 'Shell Operation',
  slug: 'hello',
  working_dir: '/tmp',
  flow_name: 'f',
  flow_run_name: 'r',
  profiles_dir: '/tmp',
  project_dir: '/tmp',
  cli_profile_block: 'p',
};

/** A body once for each text in it, with something behind that text, and once for each object, with another key. */
function spoilt(body: unknown, bad: string, path: Path = []): { body: unknown; loc: Path }[] {
  if (typeof body === 'string') return [{ body: `${body}${bad}`, loc: path }];
  if (typeof body !== 'object' || body === null) return [];
  const isList = Array.isArray(body);
  const inner = Object.entries(body).flatMap(([key, value]) =>
    spoilt(value, bad, [...path, isList ? Number(key) : key]).map(({ body: spoiltValue, loc }) => ({
      body: isList ? body.with(Number(key), spoiltValue) : { ...body, [key]: spoiltValue },
      loc,
    })),
  );
  return isList ? inner : [...inner, { body: { ...body, [`k${bad}`]: 1 }, loc: path }];
}

function expectRefused(reply: Reply, type: string, ...loc: Path): void {
  expect(reply.json, reply.text).toMatchObject({ code: 'validation_failed', detail: [{ type, loc }] });
  expect(reply.status).toBe(422);
  expect(lastUpstreamCalls(c.facade)).toBe(0);
}

describe('A text that no database can store is refused in any value and key', () => {
  it.each(REQUESTS)('$id', async ({ method, path, body }) => {
    for (const [bad, type] of [
      [HALF, 'string_unicode'],
      ['\ude00', 'string_unicode'],
      ['\ude00\ud83d', 'string_unicode'],
      ['\0', 'value_error'],
    ] as const) {
      const bodies = spoilt({ ...body(), note: [['a', { b: '' }]] }, bad);
      expect(bodies.length).toBeGreaterThan(3);
      for (const { body: wrong, loc } of bodies)
        expectRefused(await c.host.send(method, path(), { body: wrong }), type, 'body', ...loc);
    }
  });

  it('does not repeat the text, which the host could not store either', async () => {
    const { text } = await c.host.post('/proxy/flow_run/', { name: `tell-nobody${HALF}` });
    expect(text).not.toMatch(/tell-nobody|\\ud/);
  });

  it.each(['%ED%A0%BD', '%ED%A0%BD%ED%B8%80', '%FF', 'a%C0%80', '%00', 'a%00b'])(
    'refuses the block name %s in a path',
    async (name) => {
      const type = name.includes('%00') ? 'value_error' : 'string_unicode';
      for (const path of [
        `/proxy/blocks/secret/${name}`,
        `/proxy/blocks/secret/${name}/contents`,
        `/proxy/blocks/airbyte/server/${name}`,
        `/proxy/blocks/airbyte/server/block/${name}`,
      ])
        expectRefused(await c.host.get(path), type, 'path', 'blockname');
    },
  );

  it.each(['%ED%A0%BD', '%FF', '%00'])(
    'takes %s for no id in a path and for no value in a query',
    async (text) => {
      const paths = [`/proxy/flow_runs/${text}`, `/proxy/deployments/${text}`, `/delete-a-block/${text}`];
      for (const path of paths)
        expect(await c.host.get(path)).toMatchObject({ status: path.includes('delete') ? 405 : 404 });
      for (const query of [
        `/proxy/flow_runs?deployment_id=${text}`,
        `/proxy/flow_runs?deployment_id=${UNKNOWN}&limit=${text}`,
        `/proxy/flow_runs?deployment_id=${UNKNOWN}&start_time_gt=${text}`,
        `/proxy/flow_runs/logs/${UNKNOWN}?task_run_id=${text}`,
        `/proxy/flow_runs/long-running/${text}`,
        `/proxy/flow_runs/long-running/1?start_time_str=${text}`,
        `/proxy/v1/deliveries?state=${text}`,
        `/proxy/v1/deliveries?cursor=${text}`,
        `/proxy/v1/flow_runs/${UNKNOWN}/wait?timeout=${text}`,
      ]) {
        expect(await c.host.get(query), query).toMatchObject({ status: 422 });
        expect(lastUpstreamCalls(c.facade)).toBe(0);
      }
    },
  );
});

describe('After the reported inputs', () => {
  it('lists, polls and the queue of the run are as before', async () => {
    const { deployment, run } = good;
    const start = `/proxy/deployments/${deployment}/flow_run`;
    expectRefused(await c.host.post(start, { note: HALF }), 'string_unicode', 'body', 'note');
    const late = { runParams: {}, scheduledTime: '9999-12-31T23:59:59.999999Z' };
    expectRefused(
      await c.host.post(`${start}/schedule`, late),
      'datetime_from_date_parsing',
      'body',
      'scheduledTime',
    );
    const name = Array.from({ length: 2_700 }, () => Math.random().toString(36).charAt(2)).join('');
    const deploymentBody = { flow_name: 'f', deployment_name: name, org_slug: 'acme', deployment_params: {} };
    expectRefused(
      await c.host.post('/proxy/v1/deployments/', deploymentBody),
      'string_too_long',
      'body',
      'deployment_name',
    );
    for (const path of [
      `/proxy/flow_runs?deployment_id=${deployment}`,
      `/proxy/v1/deployments/get_scheduled_flow_runs?deployment_id=${deployment}`,
      `/proxy/flow_runs/${run}/poll`,
    ])
      expect(await c.host.get(path)).toMatchObject({ status: 200 });
    const polled = await c.seed.call('POST', '/deployments/get_scheduled_flow_runs', {
      deployment_ids: [deployment],
    });
    expect(polled).toEqual(expect.any(Array));
  });
});

describe('Texts that can be stored pass', () => {
  it('in keys and values of parameters, names and an organisation', async () => {
    const pairs = '😀 \u{10ffff} ü ✓ \ufffd \ufffe \u2028';
    const org = `${pairs} ${c.seed.suffix}`;
    const params = { config: { [pairs]: [pairs, { [pairs]: pairs }] } };
    const body = { flow_name: 'f', deployment_name: org, org_slug: org, deployment_params: params };
    const made = await c.host.post('/proxy/v1/deployments/', { ...body, work_pool_name: good.pool });
    expect(made.status, made.text).toBe(200);
    const list = await c.host.post('/proxy/deployments/filter', { org_slug: org, deployment_ids: null });
    expect(list.json).toMatchObject({ deployments: [{ name: org, tags: [org], parameters: params }] });
    const { deployment } = made.json as { deployment: { id: string } };
    const run = await c.host.post(`/proxy/deployments/${deployment.id}/flow_run`, params);
    expect(run.status, run.text).toBe(200);
    const { flow_run_id: id } = run.json as { flow_run_id: string };
    expect((await c.host.get(`/proxy/flow_runs/${id}/poll`)).json).toMatchObject({ parameters: params });
  });

  it('written as escapes, also beside numbers that are kept as they are', async () => {
    const raw = String.raw`{"config":{"\ud83d\ude00":["\uD83D\uDE00\u0001\\ud83d",1.0]}}`;
    const run = await c.host.send('POST', `/proxy/deployments/${good.deployment}/flow_run`, { raw });
    expect(run.status, run.text).toBe(200);
    const { flow_run_id: id } = run.json as { flow_run_id: string };
    const { json } = await c.host.get(`/proxy/flow_runs/${id}/poll`);
    expect(json).toMatchObject({ parameters: { config: { '😀': ['😀\u0001\\ud83d', 1] } } });
  });
});

describe('A name has at most 600 characters', () => {
  /** Characters of four bytes that do not compress: the longest that a database can meet. */
  const text = (length: number) =>
    Array.from({ length }, () => String.fromCodePoint(0x20000 + Math.floor(Math.random() * 40_000))).join('');
  const blockName = (length: number) =>
    Array.from({ length }, () => Math.random().toString(36).charAt(2)).join('');
  const create = (fields: Json) =>
    c.host.post('/proxy/v1/deployments/', {
      flow_name: 'f',
      deployment_name: c.seed.name('names'),
      org_slug: c.seed.name('names'),
      deployment_params: { config: {} },
      work_pool_name: good.pool,
      ...fields,
    });
  const server = { serverHost: 'h', serverPort: '80', apiVersion: 'v' };
  const workers = (fields: Json) => c.host.post('/proxy/workers/filter/', fields);
  const late = (fields: Json) => c.host.post('/proxy/flow_runs/late', fields);
  const cancel = async (name: string) => {
    const run = await c.seed.flowRun({ state: { type: 'SCHEDULED', name: 'Scheduled' } });
    return c.host.post(`/proxy/flow_runs/${run}/set_state`, {
      state: { name, type: 'CANCELLING' },
      force: 'True',
    });
  };

  it.each<[string, Path, (length: number) => Promise<Reply>, number]>([
    ['a deployment', ['deployment_name'], (n) => create({ deployment_name: text(n) }), 200],
    [
      'an organisation',
      ['org_slug'],
      (n) => create({ deployment_name: blockName(20), org_slug: text(n) }),
      200,
    ],
    ['a queue', ['work_queue_name'], (n) => create({ work_queue_name: text(n) }), 200],
    ['a pool', ['work_pool_name'], (n) => create({ work_pool_name: text(n) }), 404],
    ['a schedule', ['cron'], (n) => create({ cron: `0 0 * * *`.padEnd(n) }), 200],
    [
      'an Airbyte server',
      ['blockName'],
      (n) => c.host.post('/proxy/blocks/airbyte/server/', { ...server, blockName: blockName(n) }),
      200,
    ],
    [
      'an Airbyte server to change',
      ['blockName'],
      (n) => c.host.put('/proxy/blocks/airbyte/server/', { blockName: blockName(n) }),
      404,
    ],
    [
      'an Airbyte connection',
      ['connectionBlockName'],
      (n) =>
        c.host.put('/proxy/blocks/airbyte/connection/', {
          serverBlockName: good.server,
          connectionId: 'c',
          connectionBlockName: blockName(n),
        }),
      200,
    ],
    [
      'its server',
      ['serverBlockName'],
      (n) =>
        c.host.put('/proxy/blocks/airbyte/connection/', {
          serverBlockName: text(n),
          connectionId: 'c',
          connectionBlockName: blockName(9),
        }),
      404,
    ],
    [
      'a secret',
      ['blockName'],
      (n) => c.host.post('/proxy/blocks/secret/', { secret: 's', blockName: blockName(n) }),
      200,
    ],
    [
      'an organisation to list',
      ['org_slug'],
      (n) => c.host.post('/proxy/deployments/filter', { org_slug: text(n), deployment_ids: null }),
      200,
    ],
    ['a run to find', ['name'], (n) => c.host.post('/proxy/flow_run/', { name: text(n) }), 400],
    ['the state of a cancelled run', ['state', 'name'], (n) => cancel(text(n)), 200],
    ['the queue of late runs', ['work_queue_name'], (n) => late({ work_queue_name: text(n) }), 200],
    ['the pool of late runs', ['work_pool_name'], (n) => late({ work_pool_name: text(n) }), 200],
    ['the queue of workers', ['work_queue_names', 0], (n) => workers({ work_queue_names: [text(n)] }), 200],
    ['the pool of workers', ['work_pool_names', 0], (n) => workers({ work_pool_names: [text(n)] }), 200],
  ])('%s', async (_what, loc, send, status) => {
    expectRefused(await send(601), 'string_too_long', 'body', ...loc);
    expectRefused(await send(100_000), 'string_too_long', 'body', ...loc);
    const longest = await send(600);
    expect(longest.status, longest.text).toBe(status);
  });

  it('which is also what events take: those of its runs, and of all others, are not lost', async () => {
    const made = await create({ deployment_name: blockName(20), org_slug: text(600) });
    const { deployment } = made.json as { deployment: { id: string } };
    const started = await c.host.post(`/proxy/deployments/${deployment.id}/flow_run`, {});
    expect(started.status, started.text).toBe(200);
    const { flow_run_id: id } = started.json as { flow_run_id: string };
    const filter = { resource: { id: [`prefect.flow-run.${id}`] } };
    const count = async () =>
      ((await c.seed.call('POST', '/events/filter', { filter })) as { total: number }).total;
    await expect.poll(count, { timeout: 30_000, interval: 200 }).toBeGreaterThan(0);
  });
});

describe('A time is in the years 1 to 9998, in UTC', () => {
  const schedule = (scheduledTime: unknown) =>
    c.host.post(`/proxy/deployments/${good.deployment}/flow_run/schedule`, { runParams: {}, scheduledTime });
  const LATE = '/proxy/flow_runs/late';
  const PLACES: [string, 'body' | 'query', string, (time: string) => Promise<Reply>][] = [
    ['scheduledTime', 'body', 'scheduledTime', schedule],
    ['before_start_time', 'body', 'before_start_time', (t) => c.host.post(LATE, { before_start_time: t })],
    ['after_start_time', 'body', 'after_start_time', (t) => c.host.post(LATE, { after_start_time: t })],
    [
      'start_time_gt',
      'query',
      'start_time_gt',
      (t) => c.host.get(`/proxy/flow_runs?deployment_id=${UNKNOWN}&start_time_gt=${encodeURIComponent(t)}`),
    ],
    [
      'start_time_str',
      'query',
      'start_time_str',
      (t) => c.host.get(`/proxy/flow_runs/long-running/0?start_time_str=${encodeURIComponent(t)}`),
    ],
    [
      'since',
      'query',
      'since',
      (t) =>
        c.host.get(`/proxy/v1/deliveries?since=${encodeURIComponent(t)}&until=9998-12-31T23:59:59.999999Z`),
    ],
    [
      'until',
      'query',
      'until',
      (t) => c.host.get(`/proxy/v1/deliveries?since=0001-01-01&until=${encodeURIComponent(t)}`),
    ],
    [
      'since of a recovery',
      'body',
      'since',
      (t) => c.host.post('/proxy/v1/deliveries/recover', { since: t }),
    ],
    [
      'until of a recovery',
      'body',
      'until',
      (t) => c.host.post('/proxy/v1/deliveries/recover', { since: '0001-01-01', until: t }),
    ],
  ];

  it.each(PLACES)('%s', async (_what, part, field, send) => {
    for (const time of [
      '9999-01-01T00:00:00Z',
      '9998-12-31T23:59:59.999999-00:01',
      '9999-12-31T23:59:59.999999Z',
      '9999-12-31T23:59:59.9999999+00:00',
      '253402300799999',
      '0001-01-01T00:00:00+00:01',
      '0000-12-31T23:59:59Z',
    ])
      expectRefused(await send(time), 'datetime_from_date_parsing', part, field);
  });

  it.each(['0001-01-01T00:00:00Z', '9998-12-31T23:59:59.999999Z'])(
    'a run that is scheduled for %s can be read, listed, retried and deleted',
    async (time) => {
      const made = await schedule(time);
      expect(made.status, made.text).toBe(200);
      const { flow_run_id: id } = made.json as { flow_run_id: string };
      const list = `/proxy/v1/deployments/get_scheduled_flow_runs?deployment_id=${good.deployment}`;
      expect(JSON.stringify((await c.host.get(list)).json)).toContain(id);
      for (const bound of ['0001-01-01T00:00:00Z', '9998-12-31T23:59:59.999999Z'])
        for (const side of ['before_start_time', 'after_start_time'])
          expect(await c.host.post(LATE, { [side]: bound })).toMatchObject({ status: 200 });
      expect(await c.host.get(`/proxy/flow_runs/${id}`)).toMatchObject({ status: 200 });
      expect(await c.host.delete(`/proxy/flow_runs/${id}`)).toMatchObject({ status: 200 });
    },
  );

  it.each([5_000_000_000, -5_000_000_000, Number.MAX_SAFE_INTEGER])(
    '%d minutes or hours from now are in none of them',
    async (number) => {
      const run = await c.seed.flowRun({ states: [COMPLETED] });
      const type = number > 0 ? 'less_than_equal' : 'greater_than_equal';
      const retry = await c.host.post(`/proxy/flow_runs/${run}/retry`, { minutes: number });
      expectRefused(retry, type, 'body', 'minutes');
      const list = await c.host.get(`/proxy/flow_runs/long-running/${number}`);
      expectRefused(list, type, 'path', 'nhours');
    },
  );
});
