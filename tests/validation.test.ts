import fc from 'fast-check';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { contract } from './support/contract.js';
import { ROUTES, makeGood, type Good } from './support/all-routes.js';

const c = contract();
let good: Good;
beforeAll(async () => {
  good = await makeGood(c.host, c.seed);
});
beforeEach(() => {
  c.mock!.reset();
});

const UNKNOWN = '00000000-0000-4000-8000-000000000000';
const withBody = ROUTES.filter((route) => route.body);
/** Routes whose body is a free object: pydantic calls what is none `dict_type`. */
const FREE = new Set(['setEntrypoint', 'runDeployment']);
const problem = (type: string, ...loc: (string | number)[]) => ({
  type,
  loc,
  msg: expect.any(String) as string,
});
const refusedWith = (...detail: unknown[]) => ({ status: 422, json: { code: 'validation_failed', detail } });
const raw = (text: string | Uint8Array, type = 'application/json') => ({
  raw: text,
  headers: { 'content-type': type },
});

describe.each(withBody)('$id: the body as a whole', (route) => {
  const post = (options: ReturnType<typeof raw>) => c.host.send(route.method, route.path(good), options);
  const notAnObject = refusedWith(
    problem(FREE.has(route.id) ? 'dict_type' : 'model_attributes_type', 'body'),
  );

  it.each(['', 'null'])('absent or null: %j', async (text) => {
    const reply = await post(raw(text));
    if (route.id === 'runDeployment') expect(reply.status).toBe(200);
    else expect(reply).toMatchObject(refusedWith(problem('missing', 'body')));
    if (reply.status === 422) expect(c.mock!.calls).toEqual([]);
  });

  it.each(['[]', '[{"name":"a"}]', '7', '1.0', '[1e5]', '"text"', 'true'])(
    'not an object: %s',
    async (text) => {
      expect(await post(raw(text))).toMatchObject(notAnObject);
      expect(c.mock!.calls).toEqual([]);
    },
  );

  it.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'text/json',
  ])('another content type: %s', async (type) => {
    expect(await post(raw('{"name":"a"}', type))).toMatchObject(notAnObject);
  });

  it.each([
    ['{bad', 1],
    ['nope', 0],
    ['{"a": }', 6],
    ['{"a":1', 6],
    ['{"a":1}x', 7],
    ['[1.0 2]', 5],
    ["{'a':1}", 1],
    ['\ufeff{bad', 1],
    ['   ', 3],
  ])('malformed JSON: %j', async (text, offset) => {
    expect(await post(raw(text))).toMatchObject(refusedWith(problem('json_invalid', 'body', offset)));
  });

  it('invalid UTF-8', async () => {
    expect(await post(raw(new Uint8Array([0x7b, 0xff, 0x7d])))).toMatchObject({
      status: 400,
      json: { detail: 'There was an error parsing the body' },
    });
  });

  it.each([
    ['{"name":"\\u0000"}', ['name']],
    ['{"name":"a","more":[1.0,{"b":["x","c\\u0000d"]}]}', ['more', 1, 'b', 1]],
    ['{"name":"a","more":{"\\u0000":1}}', ['more']],
  ])('a text that PostgreSQL cannot store: %s', async (text, loc) => {
    expect(await post(raw(text))).toMatchObject(refusedWith(problem('value_error', 'body', ...loc)));
  });

  it('a text that only looks like one is not refused for it', async () => {
    expect((await post(raw('{"name":"\\\\u0000"}'))).text).not.toContain('U+0000');
  });

  it('nested deeper than a stack is 4xx', async () => {
    const deep = '['.repeat(20_000) + ']'.repeat(20_000);
    for (const text of [deep, `{"a":${deep}}`, `{"name":${deep},"extra":${deep}}`]) {
      const { status } = await post(raw(text));
      expect(status).toBeGreaterThanOrEqual(400);
      expect(status).toBeLessThan(500);
    }
  });
});

describe('Bodies that are fine', () => {
  const find = async (options: ReturnType<typeof raw>) =>
    (await c.host.send('POST', '/proxy/flow_run/', options)).status;
  const body = () => JSON.stringify({ name: c.seed.name('run'), unknown: { field: 1.5 } });

  it.each(['application/json; charset=utf-8', 'application/vnd.api+json', 'APPLICATION/JSON'])(
    '%s',
    async (type) => {
      expect(await find(raw(body(), type))).toBe(200);
    },
  );
  it('a BOM', async () => {
    expect(await find(raw(`\ufeff${body()}`))).toBe(200);
  });
});

const LATE = '/proxy/flow_runs/late';
const RETRY = `/proxy/flow_runs/${UNKNOWN}/retry`;
const SCHEDULE = `/proxy/deployments/${UNKNOWN}/flow_run/schedule`;
const SERVER = '/proxy/blocks/airbyte/server/';
const server = { blockName: 'b', serverHost: 'h', serverPort: '1', apiVersion: 'v' };

describe('Fields of a body', () => {
  it.each([
    ['POST', '/proxy/flow_run/', { name: 7 }, ['string_type', 'name']],
    ['POST', '/proxy/flow_run/', { name: null }, ['string_type', 'name']],
    ['POST', '/proxy/flow_run/', { Name: 'x' }, ['missing', 'name']],
    ['POST', '/proxy/blocks/secret/', { secret: 'v', block_name: 'b' }, ['missing', 'blockName']],
    ['POST', SERVER, { ...server, useSSL: 'maybe' }, ['bool_parsing', 'useSSL']],
    ['POST', SERVER, { ...server, useSSL: 2 }, ['bool_parsing', 'useSSL']],
    ['POST', SERVER, { ...server, useSSL: [] }, ['bool_type', 'useSSL']],
    ['POST', SERVER, { ...server, useSSL: null }, ['bool_type', 'useSSL']],
    ['POST', SERVER, { ...server, serverPort: 8000 }, ['string_type', 'serverPort']],
    ['PUT', '/proxy/blocks/airbyte/connection/', { extra: '{}' }, ['dict_type', 'extra']],
    ['POST', LATE, { deployment_id: 7 }, ['string_type', 'deployment_id']],
    ['POST', LATE, { limit: '1.5' }, ['int_parsing', 'limit']],
    ['POST', LATE, { limit: null }, ['int_type', 'limit']],
    ['POST', LATE, { exclude_flow_run_ids: 'a' }, ['list_type', 'exclude_flow_run_ids']],
    ['POST', LATE, { before_start_time: 'tomorrow' }, ['datetime_from_date_parsing', 'before_start_time']],
    ['POST', RETRY, { minutes: '1.5' }, ['int_parsing', 'minutes']],
    ['POST', RETRY, { minutes: '' }, ['int_parsing', 'minutes']],
    ['POST', RETRY, { minutes: 1.5 }, ['int_from_float', 'minutes']],
    ['POST', RETRY, { minutes: {} }, ['int_type', 'minutes']],
    [
      'POST',
      SCHEDULE,
      { scheduledTime: '2030-13-01T00:00:00Z' },
      ['datetime_from_date_parsing', 'scheduledTime'],
    ],
    ['POST', '/proxy/workers/filter/', { work_queue_names: 'a' }, ['list_type', 'work_queue_names']],
    [
      'POST',
      `/proxy/flow_runs/${UNKNOWN}/set_state`,
      { state: { name: 'x', type: 'CANCELLING' }, force: true },
      ['string_type', 'force'],
    ],
    [
      'POST',
      `/proxy/flow_runs/${UNKNOWN}/set_state`,
      { state: { name: 'x', type: 'COMPLETED' }, force: 'True' },
      ['literal_error', 'state', 'type'],
    ],
  ] as const)('%s %s %j', async (method, path, body, [type, ...loc]) => {
    const reply = await c.host.send(method, path, { body });
    expect(reply.status).toBe(422);
    const { detail } = reply.json as { detail: unknown[] };
    expect(detail).toContainEqual(expect.objectContaining(problem(type, 'body', ...loc)));
    expect(c.mock!.calls).toEqual([]);
  });

  it.each([
    [LATE, { limit: '+2' }],
    [LATE, { limit: ' 2 ' }],
    [LATE, { limit: 8.0, deployment_id: '', work_pool_name: null }],
    [LATE, { before_start_time: '2030-01-01 00:00', after_start_time: 1_700_000_000_000 }],
    [SERVER, { ...server, useSSL: 'yes' }],
  ])('lax mode takes %s %j', async (path, body) => {
    const named = 'blockName' in body ? { ...body, blockName: c.seed.name('lax') } : body;
    expect((await c.host.post(path, named)).status).toBe(200);
  });

  it('counts all that is wrong, and numbers with a point in it', async () => {
    const reply = await c.host.send('POST', SERVER, raw('{"blockName":1.0,"serverPort":1e3}'));
    expect(reply.status).toBe(422);
    const found = (reply.json as { detail: { type: string; loc: string[] }[] }).detail;
    expect(found.map(({ type, loc }) => `${type} ${String(loc[1])}`).sort()).toEqual([
      'missing apiVersion',
      'missing serverHost',
      'string_type blockName',
      'string_type serverPort',
    ]);
  });
});

describe('Queries and paths', () => {
  const list = `/proxy/flow_runs?deployment_id=${UNKNOWN}`;
  it.each([
    ['/proxy/v1/deployments/get_scheduled_flow_runs', 'missing', 'query', 'deployment_id'],
    [`${list}&limit=1.5`, 'int_parsing', 'query', 'limit'],
    [`${list}&limit=`, 'int_parsing', 'query', 'limit'],
    [`${list}&limit=0x1`, 'int_parsing', 'query', 'limit'],
    [`${list}&limit=-1`, 'greater_than_equal', 'query', 'limit'],
    [`${list}&limit=3&limit=x`, 'int_parsing', 'query', 'limit'],
    [`${list}&start_time_gt=soon`, 'datetime_from_date_parsing', 'query', 'start_time_gt'],
    [`${list}&start_time_gt=99999999999999999999`, 'datetime_from_date_parsing', 'query', 'start_time_gt'],
    [`/proxy/flow_runs/logs/${UNKNOWN}?offset=&limit=5`, 'int_parsing', 'query', 'offset'],
    ['/proxy/flow_runs/long-running/%20', 'int_parsing', 'path', 'nhours'],
    ['/proxy/flow_runs/long-running/1.5', 'int_parsing', 'path', 'nhours'],
    ['/proxy/flow_runs/long-running/99999999999', 'less_than_equal', 'path', 'nhours'],
  ])('%s: %s', async (path, type, ...loc) => {
    expect(await c.host.get(path)).toMatchObject(refusedWith(problem(type, ...loc)));
    expect(c.mock!.calls).toEqual([]);
  });

  it.each([
    `${list}&limit=%2B2`,
    `${list}&limit=%202%20`,
    `${list}&limit=2.0`,
    `${list}&limit=x&limit=2`,
    `${list}&start_time_gt=2026-01-01T00:00:00+00:00`,
    `${list}&start_time_gt=2026-01-01`,
    `${list}&start_time_gt=1700000000`,
    `${list}&start_time_gt=`,
    '/proxy/flow_runs/long-running/+2',
    '/proxy/flow_runs/long-running/-2?start_time_str=2026-01-01T00:00:00.5Z',
  ])('%s is fine', async (path) => {
    expect((await c.host.get(path)).status).toBe(200);
  });
});

// `.` and `..` are resolved by the client; routing.test.ts sends them as they are.
const text = fc
  .oneof(
    fc.string({ unit: 'binary', minLength: 1 }),
    fc.string({ unit: 'grapheme', minLength: 1 }),
    fc.constantFrom(
      '.',
      '..',
      '%2e%2e',
      '%',
      '%ZZ',
      '\0',
      'a/../b',
      'a?b=c',
      'a#b',
      '\\',
      ' ',
      '-',
      '__proto__',
    ),
  )
  // A slash at the end is the other form of the path.
  .filter((value) => value !== '.' && value !== '..' && !value.endsWith('/'));

describe('Any text', () => {
  it.each(ROUTES.filter((route) => route.pattern.includes('{')))(
    'in the path of $id is one segment upstream or nothing',
    async (route) => {
      await fc.assert(
        fc.asyncProperty(text, async (given) => {
          c.mock!.reset();
          const value = given.toWellFormed();
          const path = route.pattern
            .replace(/\{\w+\}/, encodeURIComponent(value))
            .replace('{status}', 'active');
          const body = route.body?.(good);
          const reply = await c.host.send(route.method, path, body === undefined ? {} : { body });
          expect(reply.status).toBeLessThan(500);
          for (const call of c.mock!.calls) {
            const [head, ...rest] = call.path.slice(1).split('/');
            if (head !== 'block_types') continue;
            const cleaned = value.toLowerCase().replaceAll(/[^-a-z0-9]/g, '');
            const name = route.pattern.includes('secret') ? cleaned : value;
            const type = route.pattern.includes('secret') ? 'secret' : 'airbyte-server';
            expect(rest.map(decodeURIComponent)).toEqual(['slug', type, 'block_documents', 'name', name]);
          }
          // An id that is no UUID is sent nowhere.
          if (!route.pattern.includes('blockname') && !/^\s*[+-]?\d/.test(value)) {
            expect(c.mock!.calls).toEqual([]);
          }
          expect(c.mock!.unexpected).toEqual([]);
        }),
        { numRuns: 60 },
      );
    },
  );

  it.each([
    `/proxy/flow_runs?deployment_id=${UNKNOWN}&limit=`,
    `/proxy/flow_runs?deployment_id=${UNKNOWN}&start_time_gt=`,
    '/proxy/flow_runs?deployment_id=',
    '/proxy/flow_runs/long-running/1?start_time_str=',
    `/proxy/flow_runs/logs/${UNKNOWN}?task_run_id=`,
    `/proxy/flow_runs/logs/${UNKNOWN}?offset=`,
    '/proxy/v1/deployments/get_scheduled_flow_runs?deployment_id=',
  ])('in the query %s is never a 5xx', async (query) => {
    const value = fc.oneof(text, fc.integer().map(String), fc.double().map(String), fc.date().map(String));
    await fc.assert(
      fc.asyncProperty(value, async (given) => {
        const reply = await c.host.get(query + encodeURIComponent(given.toWellFormed()));
        expect(reply.status).toBeLessThan(500);
      }),
      { numRuns: 60 },
    );
  });
});

/** Numbers that JavaScript would write otherwise, which are kept as their own text. */
const numberText = fc.constantFrom('1.0', '-0.0', '1e5', '1E400', '12345678901234567890', '0.1000');

describe('Any JSON', () => {
  it.each(withBody)('as the body of $id is never a 5xx of the facade', async (route) => {
    const fields = Object.entries(route.body?.(good) as Record<string, unknown>);
    const any = fc.oneof(numberText, fc.string(), fc.json({ maxDepth: 3 }));
    const like = fc
      .tuple(
        ...fields.map(([, value]) => fc.oneof(fc.json(), numberText, fc.constant(JSON.stringify(value)))),
      )
      .map((texts) => `{${fields.map(([key], index) => `"${key}":${texts[index] ?? ''}`).join(',')}}`);
    c.mock!.fault(() => ({ status: 422, body: '{"detail":"no"}' }));
    await fc.assert(
      fc.asyncProperty(fc.oneof(any, like), async (body) => {
        const reply = await c.host.send(route.method, route.path(good), raw(body));
        expect(reply.status).toBeLessThan(500);
        expect(reply.headers['content-type']).toBe('application/json');
      }),
      { numRuns: 60 },
    );
  });
});
