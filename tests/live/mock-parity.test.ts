import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { startMockOrchestrator, type MockOrchestrator } from '../support/mock/index.js';
import { eventScripts } from './parity/events.js';
import { limitScripts } from './parity/limits.js';
import { runScripts } from './parity/runs.js';
import { type Body, type Script, type Send } from './parity/script.js';
import { variableScripts } from './parity/variables.js';

/**
 * Sends the same requests to the mock and to a real server on SQLite (PostgreSQL keeps objects in another order). Where
 * they differ, the mock is wrong.
 */
const live = inject('orchestratorUrl') ?? '';

interface Answer {
  step: string;
  status?: number;
  shape: unknown;
  retryAfter?: boolean;
}

describe('The mock orchestrator answers as the server does', () => {
  let mock: MockOrchestrator;

  beforeAll(async () => {
    const version = (await (await fetch(`${live}/admin/version`)).json()) as string;
    mock = await startMockOrchestrator({ version });
  });
  afterAll(() => mock.close());

  it.each(Object.entries(SCRIPTS))('%s', async (_name, script) => {
    // One name for both: checksums of block schemas are then the same too.
    const tag = `mockagent-${randomBytes(4).toString('hex')}`;
    const [wanted, got] = [await play(live, script, tag), await play(mock.url, script, tag)];
    expect(got).toEqual(wanted);
    expect(mock.unexpected).toEqual([]);
  });
});

async function play(url: string, script: Script, tag: string): Promise<Answer[]> {
  const answers: Answer[] = [];
  const send: Send = async (method, path, body) => {
    const headers = { 'content-type': 'application/json' };
    const content = body === undefined ? null : JSON.stringify(body);
    const reply = await patiently(() => fetch(url + path, { method, headers, body: content }));
    const text = await reply.text();
    const value = (text === '' ? null : JSON.parse(text)) as Body;
    const step = `${method} ${plain(path, tag)} ${plain(content ?? '', tag)}`;
    const exact = EXACT.includes(path.split('/').at(-1) ?? '') || EXACT_NOUNS.test(path);
    const shape = reply.ok && !exact ? shapeOf(unordered(path, value)) : plain(text, tag);
    answers.push({ step, status: reply.status, shape, retryAfter: reply.headers.has('retry-after') });
    return value;
  };
  const note = (step: string, shape: unknown) => {
    answers.push({ step, shape });
  };
  await script(send, tag, { note, url });
  return answers;
}

/** Where the values are looked at too. */
const EXACT = ['count', 'schedules'];
const EXACT_NOUNS = /^\/(variables|(v2\/)?concurrency_limits)\//;

/** SQLite answers 503 now and then. */
async function patiently(ask: () => Promise<Response>): Promise<Response> {
  for (let attempt = 0; attempt < 5; attempt += 1) {
    const reply = await ask();
    if (reply.status !== 503) return reply;
  }
  return ask();
}

function plain(text: string, tag: string): string {
  return text
    .replaceAll(tag, '<tag>')
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi, '<id>')
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)/g, '<time>');
}

/** The old graph comes in the order of random ids. */
function unordered(path: string, value: unknown): unknown {
  if (!path.endsWith('/graph') || !Array.isArray(value)) return value;
  return (value as { name: string }[]).sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Keys in their order, kinds of values; free objects are taken as they are. */
function shapeOf(value: unknown, key = ''): unknown {
  if (Array.isArray(value)) return value.map((item) => shapeOf(item));
  if (typeof value !== 'object' || value === null) return kind(value);
  // The server gives these in the order of a hash table.
  const entries = Object.entries(value);
  const ordered = key === 'block_schema' ? entries.sort(([a], [b]) => (a < b ? -1 : 1)) : entries;
  return ordered.map(([name, item]) => [
    name,
    name === 'block_type' && key !== '' ? 'free' : shapeOf(item, name),
  ]);
}

function kind(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value === 'string' && /^\d{4}-\d\d-\d\dT/.test(value)) return 'time';
  return typeof value;
}

const ghost = randomUUID();

const SCRIPTS: Record<string, Script> = {
  ...runScripts,
  ...variableScripts,
  ...limitScripts,
  ...eventScripts,

  'system and router': async (send) => {
    await send('GET', '/health');
    await send('GET', '/admin/version');
    await send('GET', '/csrf-token?client=x');
    for (const noun of ['flow_runs', 'task_runs', 'deployments', 'block_documents']) {
      await send('GET', `/${noun}/no-uuid`);
      await send('GET', `/${noun}/${ghost}`);
    }
    await send('DELETE', '/deployments/no-uuid');
    await send('POST', `/flow_runs/${ghost}/set_state`, { state: { type: 'CANCELLING' } });
    await send('POST', '/flow_runs/filter', { limit: 201 });
    await send('POST', '/flow_runs/filter', { offset: -1, limit: 'x', sort: 'y' });
    await send('POST', '/flow_runs/filter', { flow_runs: { id: { any_: ['x'] }, bogus: 1 } });
  },

  'the life of a flow run': async (send, tag) => {
    const flow = await send('POST', '/flows/', { name: tag });
    await send('POST', '/flows/', { name: tag });
    const run = await send('POST', '/flow_runs/', { flow_id: flow['id'], name: tag, tags: ['a'] });
    const path = `/flow_runs/${String(run['id'])}`;
    const set = (type: string, rest: Body = {}) =>
      send('POST', `${path}/set_state`, { state: { type }, ...rest });
    for (const type of ['PENDING', 'RUNNING', 'PENDING', 'COMPLETED', 'CRASHED', 'SCHEDULED', 'RUNNING']) {
      await set(type);
      await send('GET', path);
    }
    await set('CANCELLING');
    await set('RUNNING');
    await set('FAILED', { force: true });
    await send('PATCH', `${path}/labels`, { text: 'b', number: 1 });
    await send('POST', '/flow_runs/filter', { flow_runs: { name: { any_: [tag] } }, sort: 'END_TIME_DESC' });
    await send('POST', '/flow_runs/paginate', { flow_runs: { name: { any_: [tag] } } });
    await send('POST', '/flow_runs/count', { flow_runs: { name: { any_: [tag] } } });
    await send('DELETE', path);
    await send('DELETE', path);
    for (const state of [{ type: 'SCHEDULED', name: 'Late' }, { type: 'PENDING' }]) {
      const queued = await send('POST', '/flow_runs/', { flow_id: flow['id'], state });
      const cancel = { state: { type: 'CANCELLING' }, force: 'True' };
      await send('POST', `/flow_runs/${String(queued['id'])}/set_state`, cancel);
      await send('GET', `/flow_runs/${String(queued['id'])}`);
    }
    await send('DELETE', `/flows/${String(flow['id'])}`);
  },

  'tasks, subflows, graphs, logs': async (send, tag) => {
    const flow = await send('POST', '/flows/', { name: tag });
    const state = { type: 'RUNNING' };
    const run = await send('POST', '/flow_runs/', { flow_id: flow['id'], name: 'parent', state });
    const task = (key: string, rest: Body = {}) =>
      send('POST', '/task_runs/', {
        flow_run_id: run['id'],
        task_key: 't',
        dynamic_key: key,
        name: key,
        ...rest,
      });
    const first = await task('a', { state: { type: 'COMPLETED' } });
    const input = { x: [{ input_type: 'task_run', id: first['id'] }] };
    const second = await task('b', { state, task_inputs: input });
    const from = (id: unknown) => ({ input_type: 'task_run', id });
    const [one, two] = [from(first['id']), from(second['id'])];
    const third = await task('d', { task_inputs: { x: [one], y: [one, two], __parents__: [two] } });
    await task('e', { state, task_inputs: { x: [from(third['id'])], y: [from(ghost)] } });
    const holder = await task('c', { state: { type: 'PENDING' } });
    const child = { flow_id: flow['id'], name: 'child', parent_task_run_id: holder['id'], state };
    const sub = await send('POST', '/flow_runs/', child);
    const done = { state: { type: 'COMPLETED', name: 'DBT_TEST_FAILED' } };
    await send('POST', `/flow_runs/${String(sub['id'])}/set_state`, done);
    await send('GET', `/task_runs/${String(holder['id'])}`);
    await send('POST', `/task_runs/${String(second['id'])}/set_state`, done);
    await send('GET', `/flow_runs/${String(run['id'])}/graph`);
    await send('GET', `/flow_runs/${String(run['id'])}/graph-v2`);
    const here = { flow_run_id: { any_: [run['id']] } };
    const failed = { state: { name: { any_: ['DBT_TEST_FAILED'] } } };
    await send('POST', '/task_runs/filter', { task_runs: { ...here, ...failed }, sort: 'NAME_ASC' });
    await send('POST', '/task_runs/filter', { flow_runs: { parent_flow_run_id: { any_: [run['id']] } } });
    await send('POST', '/task_runs/count', { task_runs: { ...here, subflow_runs: { exists_: true } } });
    await send('POST', '/task_runs/paginate', { task_runs: here, sort: 'NAME_ASC' });
    await send('POST', '/flow_runs/filter', { flow_runs: { parent_flow_run_id: { any_: [run['id']] } } });
    const lines = [3, 1, 2].map((second_) => ({
      name: 'n',
      level: 10 * second_,
      message: `${second_}`,
      timestamp: `2026-01-01T00:00:0${second_}Z`,
      flow_run_id: run['id'],
    }));
    await send('POST', '/logs/', lines);
    await send('POST', '/logs/filter', { logs: here, limit: 2 });
    await send('POST', '/logs/filter', { logs: { ...here, level: { ge_: 20 } }, sort: 'TIMESTAMP_DESC' });
    await send('DELETE', `/flows/${String(flow['id'])}`);
  },

  deployments: async (send, tag) => {
    const flow = await send('POST', '/flows/', { name: tag });
    await send('POST', '/work_pools/', { name: tag, type: 'process' });
    const schema = { type: 'object', properties: { config: { type: 'object' } }, required: ['config'] };
    const cron = (text: string) => [{ schedule: { cron: text }, active: false }];
    const base = { flow_id: flow['id'], name: 'd', work_pool_name: tag, work_queue_name: 'q', tags: ['o'] };
    const whole = {
      ...base,
      parameters: { config: {} },
      parameter_openapi_schema: schema,
      schedules: cron('0 1 * * *'),
    };
    const deployment = await send('POST', '/deployments/', {
      ...whole,
      entrypoint: 'a.py:b',
      pull_steps: [],
    });
    const path = `/deployments/${String(deployment['id'])}`;
    await send('POST', '/deployments/', { ...whole, tags: ['p'] });
    await send('POST', '/deployments/', { ...base, name: 'e', work_pool_name: 'mockagent-none' });
    await send('POST', '/deployments/', { ...base, name: 'e', schedules: cron('bad') });
    await send('GET', `/deployments/name/${tag}/d`);
    await send('PATCH', path, { schedules: cron('5 1 * * *'), paused: true, entrypoint: 'c.py:d' });
    await send('PATCH', path, { parameters: { config: 1 } });
    await send('PATCH', path, { work_pool_name: 'mockagent-none' });
    const current = await send('GET', path);
    const [schedule] = current['schedules'] as Body[];
    await send('PATCH', `${path}/schedules/${String(schedule?.['id'])}`, { active: false });
    await send('PATCH', `${path}/schedules/${ghost}`, { active: false });
    await send('GET', `${path}/schedules`);
    await send('POST', `${path}/resume_deployment`);
    await send('POST', `${path}/create_flow_run`, { parameters: { config: 3 } });
    await send('POST', `${path}/create_flow_run`, { idempotency_key: tag, tags: ['x'], labels: { l: 'm' } });
    await send('POST', `${path}/create_flow_run`, { idempotency_key: tag });
    await send('POST', '/deployments/get_scheduled_flow_runs', { deployment_ids: [deployment['id']] });
    await send('POST', `/work_pools/${tag}/get_scheduled_flow_runs`, { work_queue_names: ['q'] });
    await send('POST', '/deployments/filter', { flows: { name: { any_: [tag] } } });
    await send('POST', '/deployments/paginate', { deployments: { id: { any_: [deployment['id']] } } });
    await send('POST', '/flow_runs/filter', { work_pools: { name: { any_: [tag] } } });
    await send('POST', '/flow_runs/filter', { work_pool_queues: { name: { any_: [tag] } } });
    await send('DELETE', path);
    await send('DELETE', path);
    await send('DELETE', `/work_pools/${tag}`);
    await send('DELETE', `/flows/${String(flow['id'])}`);
  },

  'schedules of a deployment': async (send, tag) => {
    const flow = await send('POST', '/flows/', { name: tag });
    const item = (slug: string | undefined, cron: string, rest: Body = {}) => ({
      slug,
      schedule: { cron },
      active: false,
      ...rest,
    });
    const old = [
      item('a', '0 1 * * *', { parameters: { x: 1 }, max_scheduled_runs: 3 }),
      item('b', '0 2 * * *', { parameters: { y: 1e5 } }),
    ];
    const changes = [
      [],
      [item('a', '1 1 * * *', { max_scheduled_runs: 4 }), item('c', '1 2 * * *', { max_scheduled_runs: 5 })],
      [item(undefined, '2 1 * * *')],
      [{ slug: 'a', active: true }],
      [{ slug: 'z' }],
      [item('n', '3 1 * * *', { replaces: 'a' })],
      [item('b', '3 1 * * *', { replaces: 'a' })],
      [item('m', '3 1 * * *', { replaces: 'a' }), item('n', '3 1 * * *', { replaces: 'a' })],
      [item('n', '3 1 * * *'), item('n', '3 2 * * *')],
    ];
    for (const schedules of [old, [item('a', '0 1 * * *'), item(undefined, '0 2 * * *')], []]) {
      for (const change of changes) {
        const base = { flow_id: flow['id'], name: 'd', schedules };
        const { id } = await send('POST', '/deployments/', base);
        await send('PATCH', `/deployments/${String(id)}`, { schedules: change });
        await send('GET', `/deployments/${String(id)}/schedules`);
      }
    }
    const { id, schedules } = await send('POST', '/deployments/', {
      flow_id: flow['id'],
      name: 'e',
      schedules: old,
    });
    const [second, first] = (schedules as Body[]).map(
      (one) => `/deployments/${String(id)}/schedules/${String(one['id'])}`,
    );
    for (const change of [
      { active: true },
      { active: true, parameters: { z: 2 }, max_scheduled_runs: 6 },
      { slug: 'b' },
      { parameters: null },
      { max_scheduled_runs: 0 },
      { max_scheduled_runs: 51 },
      {},
    ]) {
      await send('PATCH', first ?? '', change);
      await send('GET', `/deployments/${String(id)}/schedules`);
    }
    for (const path of [first, first, second]) await send('DELETE', path ?? '');
    await send('DELETE', `/deployments/${ghost}/schedules/${ghost}`);
    for (const schedule of [
      { cron: 'bad', bogus: 1 },
      { cron: 5 },
      { cron: 'R R * * *' },
      { interval: 0 },
      { interval: 60, cron: '0 1 * * *' },
      { rrule: 'bad' },
      {},
      null,
    ]) {
      await send('POST', '/deployments/', { flow_id: flow['id'], name: 'f', schedules: [{ schedule }] });
    }
    await send('DELETE', `/flows/${String(flow['id'])}`);
  },

  'parameters against their schema and size': async (send, tag) => {
    const flow = await send('POST', '/flows/', { name: tag });
    const properties = { config: { type: 'object' }, n: { type: 'integer' } };
    const parameter_openapi_schema = { type: 'object', properties, required: ['config'] };
    const base = { flow_id: flow['id'], name: 'd', parameter_openapi_schema };
    for (const parameters of [
      { config: 'zzz' },
      {},
      { n: 'x' },
      { n: null },
      { config: {}, m: 1 },
      null,
      'text',
    ]) {
      for (const enforce_parameter_schema of [true, false]) {
        await send('POST', '/deployments/', { ...base, enforce_parameter_schema, parameters });
      }
      await send('POST', '/deployments/', { ...base, parameters });
    }
    const whole = { ...base, enforce_parameter_schema: true, parameters: { config: {} } };
    const { id } = await send('POST', '/deployments/', whole);
    const path = `/deployments/${String(id)}`;
    for (const parameters of [{ config: 1 }, { config: {}, n: 'x' }, { config: {}, n: null }, {}, null]) {
      await send('PATCH', path, { parameters });
      await send('POST', `${path}/create_flow_run`, { parameters });
    }
    const room = 512 * 1024 - '{"config":{"a":""}}'.length;
    for (const text of ['x'.repeat(room), 'x'.repeat(room + 1), 'é'.repeat(room / 4)]) {
      const parameters = { config: { a: text } };
      await send('POST', `${path}/create_flow_run`, { parameters });
      await send('PATCH', path, { parameters });
      await send('POST', '/deployments/', { ...base, name: 'e', parameters });
      await send('POST', '/flow_runs/', { flow_id: flow['id'], parameters });
    }
    await send('DELETE', `/flows/${String(flow['id'])}`);
  },

  counts: async (send, tag) => {
    const flow = await send('POST', '/flows/', { name: tag });
    const flow_id = flow['id'];
    const deployment = await send('POST', '/deployments/', { flow_id, name: 'd', tags: ['x'] });
    await send('POST', `/deployments/${String(deployment['id'])}/create_flow_run`, { name: 'c' });
    const started = { flow_id, state: { type: 'RUNNING' } };
    const one = await send('POST', '/flow_runs/', { ...started, name: 'a', tags: ['x'] });
    const two = await send('POST', '/flow_runs/', { ...started, name: 'b' });
    for (const [run, name, type] of [
      [one, 'p', 'COMPLETED'],
      [one, 'q', 'RUNNING'],
      [two, 'r', 'FAILED'],
    ] as const) {
      const task = { flow_run_id: run['id'], task_key: name, dynamic_key: name, name, state: { type } };
      await send('POST', '/task_runs/', task);
    }
    const any_ = [one['id']];
    const either = { operator: 'or_' };
    const filters = [
      {},
      { task_runs: {} },
      { task_runs: { ...either, state: { type: { any_: ['RUNNING'] } }, name: { any_: ['r'] } } },
      { task_runs: { ...either, flow_run_id: { any_ }, state: { type: { any_: ['FAILED'] } } } },
      ...[true, false].map((is_null_) => ({ task_runs: { flow_run_id: { ...either, any_, is_null_ } } })),
      { task_runs: { operator: 'nope' } },
      { flow_runs: { ...either, name: { any_: ['a'] }, deployment_id: { is_null_: false } } },
      { flow_runs: { deployment_id: { ...either, any_: [deployment['id']], is_null_: true } } },
      { flow_runs: { ...either, start_time: { is_null_: true }, end_time: { is_null_: false } } },
      { flow_runs: { ...either, name: {}, tags: { any_: ['x'] } } },
      { flow_runs: { name: { any_: [] } } },
      { deployments: { ...either, name: { any_: ['d'] }, tags: { all_: ['none'] } } },
      { bogus: 1 },
    ];
    for (const noun of ['flow_runs', 'task_runs', 'deployments']) {
      for (const filter of filters) {
        await send('POST', `/${noun}/count`, { flows: { name: { any_: [tag] } }, ...filter });
      }
    }
    await send('DELETE', `/flows/${String(flow_id)}`);
  },

  'work pools': async (send, tag) => {
    await send('POST', '/work_pools/', { name: tag, type: 'process', concurrency_limit: 3 });
    await send('POST', '/work_pools/', { name: tag, type: 'process' });
    await send('POST', `/work_pools/${tag}/queues`, { name: 'q' });
    await send('POST', `/work_pools/${tag}/queues`, { name: 'q' });
    await send('POST', `/work_pools/${tag}/queues/filter`, {});
    await send('POST', '/work_queues/filter', { work_queues: { name: { any_: [tag] } } });
    await send('POST', `/work_pools/${tag}/workers/heartbeat`, { name: 'w' });
    await send('POST', `/work_pools/${tag}/workers/filter`, { workers: { status: { any_: ['ONLINE'] } } });
    await send('GET', `/work_pools/${tag}`);
    await send('GET', `/work_pools/${tag}/queues/none`);
    await send('POST', '/work_pools/filter', { work_pools: { name: { any_: [tag] } } });
    await send('DELETE', `/work_pools/${tag}`);
    await send('DELETE', `/work_pools/${tag}`);
  },

  blocks: async (send, tag) => {
    await send('GET', '/block_types/slug/secret');
    await send('GET', '/block_types/slug/airbyte-no-such');
    const type = await send('POST', '/block_types/', { name: tag, slug: tag });
    await send('POST', '/block_types/', { name: tag, slug: tag });
    const fields = { title: 'X', type: 'object', properties: {}, block_type_slug: tag, secret_fields: ['a'] };
    const schema = await send('POST', '/block_schemas/', { fields, block_type_id: type['id'] });
    await send('POST', '/block_schemas/', { fields, block_type_id: type['id'] });
    await send('GET', `/block_schemas/checksum/${String(schema['checksum'])}`);
    await send('POST', '/block_schemas/filter', { block_schemas: { block_type_id: { any_: [type['id']] } } });
    const of = { block_type_id: type['id'], block_schema_id: schema['id'] };
    const server = await send('POST', '/block_documents/', {
      name: `${tag}-s`,
      data: { a: 's', b: 1 },
      ...of,
    });
    await send('POST', '/block_documents/', { name: `${tag}-s`, data: {}, ...of });
    await send('POST', '/block_documents/', { name: 'No Good', data: {}, ...of });
    const reference = { $ref: { block_document_id: server['id'] } };
    const data = { c: 1, server: reference };
    const holder = await send('POST', '/block_documents/', { name: `${tag}-h`, data, ...of });
    const path = `/block_documents/${String(holder['id'])}`;
    await send('GET', `${path}?include_secrets=true`);
    await send('PATCH', path, { data: { c: 2 } });
    await send('GET', path);
    await send('GET', `/block_types/slug/${tag}/block_documents/name/${tag}-s?include_secrets=true`);
    await send('GET', `/block_types/slug/${tag}/block_documents`);
    await send('POST', '/block_documents/filter', { block_types: { slug: { any_: [tag] } } });
    await send('DELETE', path);
    await send('DELETE', path);
    await send('DELETE', `/block_types/${String(type['id'])}`);
  },
};
