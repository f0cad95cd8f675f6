import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { describeApi } from '../src/serve.js';
import { ROUTES, makeGood, send, type Good } from './support/all-routes.js';
import { contract } from './support/contract.js';
import { startFacade, type Facade } from './support/facade.js';
import { Host } from './support/host.js';

const KEY = 'k3y-of-the-first-host';
const NEXT = 'k3y-of-the-next-host!';
const HOOK = 'key-of-the-webhook';

const c = contract({
  PROXY_API_KEY: ` ${KEY} ,, ${NEXT}`,
  PREFECT_NOTIFICATIONS_WEBHOOK_KEY: HOOK,
  PREFECT_API_RETRY: 'false',
});
/** A host that knows the key. */
let host: Host;
let good: Good;
beforeAll(async () => {
  host = new Host(c.facade.url, { 'x-api-key': KEY });
  good = await makeGood(host, c.seed);
});
afterAll(() => host.close());
beforeEach(() => {
  c.mock!.reset();
  c.facade.lines.length = 0;
});

const WEBHOOK = '/webhooks/v1/notification/';
const { paths } = describeApi() as { paths: Record<string, Record<string, object>> };
/** Each operation of the API description, with paths that lead somewhere. */
const operations = Object.entries(paths).flatMap(([path, methods]) =>
  Object.keys(methods).map((method) => ({
    method: method.toUpperCase() as 'GET',
    path: path.replaceAll(/\{\w+\}/g, '6a1c9c1e-0f5b-4a3e-9d53-0e9c6f6b2f11'),
  })),
);

/** An `Authorization: Basic` header, as the bytes of a text. */
const basic = (text: string, encoding: BufferEncoding = 'utf8') => ({
  authorization: `Basic ${Buffer.from(text, encoding).toString('base64')}`,
});

const refused = {
  status: 401,
  json: { detail: 'unauthorized', code: 'unauthorized', request_id: expect.any(String) as string },
  headers: { 'www-authenticate': 'Bearer' },
};

describe('Without a key', () => {
  it.each(operations.filter(({ path }) => path !== WEBHOOK))(
    '$method $path is 401',
    async ({ method, path }) => {
      expect(await c.host.send(method, path)).toMatchObject(refused);
      expect(await c.host.send(method, path, { raw: '{' })).toMatchObject(refused);
      expect(c.mock!.calls).toEqual([]);
    },
  );

  it.each([
    ['GET', '/'],
    ['GET', '/nope'],
    ['POST', '/healthz'],
    ['POST', '/docs'],
    ['GET', '/healthz/x'],
    ['GET', '/proxy/flow_runs/..%2f..%2fhealthz'],
    ['DELETE', '/openapi.json'],
    ['HEAD', '/proxy/prefect/version'],
    ['OPTIONS', '/proxy/prefect/version'],
    ['PATCH', '/proxy/prefect/version'],
  ] as const)('%s %s says nothing of what is there', async (method, path) => {
    const reply = await c.host.send(method, path);
    expect(reply.status).toBe(401);
    expect(reply.headers['allow']).toBeUndefined();
  });

  it.each(['/healthz', '/healthz/', '/openapi.json'])('%s is open', async (path) => {
    expect((await c.host.get(path)).status).toBe(200);
  });

  it('the webhook wants its own key, and not this one', async () => {
    const knock = (headers: Record<string, string>) => c.host.post(WEBHOOK, {}, { headers });
    expect((await knock({ 'x-notification-key': HOOK })).status).toBe(200);
    expect((await knock({ 'x-api-key': KEY })).status).toBe(401);
    expect((await knock({ 'x-notification-key': KEY })).status).toBe(401);
    expect((await c.host.get('/proxy/prefect/version', { headers: { 'x-api-key': HOOK } })).status).toBe(401);
  });
});

describe('With a key', () => {
  it.each(ROUTES)('$id is served', async (route) => {
    expect((await send(host, route, good)).status).toBe(200);
  });

  it.each([
    ['X-API-Key', { 'x-api-key': KEY }],
    ['Bearer', { authorization: `Bearer ${KEY}` }],
    ['bearer', { authorization: `bearer  ${KEY}` }],
    ['the next one of X-API-Key', { 'x-api-key': NEXT }],
    ['the next one of Bearer', { authorization: `Bearer ${NEXT}` }],
    ['one beside a login of something before us', { 'x-api-key': KEY, authorization: 'Basic eDp5' }],
    ['the password of Basic', basic(`x:${KEY}`)],
    ['the next one as the password of Basic', basic(`x:${NEXT}`)],
    ['the password of Basic without a user name', basic(`:${KEY}`)],
    [
      'the password of basic, in small letters',
      { authorization: basic(`x:${KEY}`).authorization.replace('Basic', 'basic ') },
    ],
    ['the password of Basic with a user name in UTF-8', basic(`Jürgen 😀:${KEY}`)],
    ['the password of Basic with a user name in latin1', basic(`Jürgen:${KEY}`, 'latin1')],
    ['the password of Basic with a user name of 4 kB', basic(`${'x'.repeat(4096)}:${KEY}`)],
  ])('%s is taken', async (_what, headers) => {
    expect((await c.host.get('/proxy/prefect/version', { headers })).status).toBe(200);
    expect(await c.host.get('/nope', { headers })).toMatchObject({ status: 404 });
    expect(await c.host.post('/proxy/prefect/version', {}, { headers })).toMatchObject({ status: 405 });
  });

  it.each([
    ['another', { 'x-api-key': 'k3y-of-another-host' }],
    ['a part of it', { 'x-api-key': KEY.slice(0, -1) }],
    ['more than it', { 'x-api-key': `${KEY}x` }],
    ['both of them', { 'x-api-key': `${KEY},${NEXT}` }],
    ['none', { 'x-api-key': '' }],
    ['the key as the user name of Basic', basic(`${KEY}:`)],
    ['Basic with another password', basic('x:k3y-of-another-host')],
    ['Basic with a part of it', basic(`x:${KEY.slice(0, -1)}`)],
    ['Basic with more than it', basic(`x:${KEY}\n`)],
    ['Basic with a colon before it', basic(`x::${KEY}`)],
    ['Basic without a colon', basic(KEY)],
    ['Basic that is not encoded', { authorization: `Basic x:${KEY}` }],
    [
      'Basic in base64 without its padding',
      { authorization: basic(`x:${KEY}`).authorization.replace(/=+$/, '') },
    ],
    [
      'Basic in base64 with something before it',
      { authorization: basic(`x:${KEY}`).authorization.replace('Basic ', 'Basic *') },
    ],
    ['Basic in base64 with more after it', { authorization: `${basic(`x:${KEY}`).authorization} eA==` }],
    ['an empty Basic', { authorization: 'Basic ' }],
    ['Basic of a colon', basic(':')],
    ['Basic of no characters', basic('x:\u0000\uffff')],
    [
      'Basic under the name of Bearer',
      { authorization: basic(`x:${KEY}`).authorization.replace('Basic', 'Bearer') },
    ],
    ['a Bearer under the name of Basic', { authorization: `Basic ${KEY}` }],
    ['no scheme', { authorization: KEY }],
    ['an empty Bearer', { authorization: 'Bearer ' }],
    ['a list', { authorization: `Bearer ${KEY}, Bearer ${NEXT}` }],
    ['a header of another name', { 'api-key': KEY, 'x-notification-key': KEY, cookie: `x-api-key=${KEY}` }],
  ] as [string, Record<string, string>][])('%s is 401', async (_what, headers) => {
    expect(await c.host.get('/proxy/prefect/version', { headers })).toMatchObject(refused);
    expect(await c.host.get(`/proxy/prefect/version?api_key=${KEY}`, { headers })).toMatchObject(refused);
    expect(c.mock!.calls).toEqual([]);
  });

  it('nothing of it is logged', async () => {
    const wrong = 'a-wrong-key-that-somebody-mistyped';
    const { authorization } = basic(`x:${KEY}`);
    await host.get('/proxy/prefect/version');
    await c.host.get('/proxy/prefect/version', { headers: { authorization } });
    await c.host.get('/proxy/prefect/version', { headers: { authorization: `Bearer ${wrong}` } });
    await expect.poll(() => c.facade.lines.length).toBe(3);
    const logged = JSON.stringify(c.facade.lines);
    for (const secret of [KEY, wrong, authorization.slice('Basic '.length)])
      expect(logged).not.toContain(secret);
    expect(c.facade.lines.map(({ status }) => status)).toEqual([200, 200, 401]);
  });
});

describe('ALLOW_SECRET_READ=false', () => {
  let closed: Facade;
  let reader: Host;
  beforeAll(async () => {
    closed = await startFacade(c.apiUrl, { ALLOW_SECRET_READ: 'false' });
    reader = new Host(closed.url);
  });
  afterAll(async () => {
    await reader.close();
    await closed.close();
  });

  it.each(['getSecretContents', 'getAirbyteServer'])('%s is 403 and asks nobody', async (id) => {
    const route = ROUTES.find((one) => one.id === id)!;
    expect(await send(reader, route, good)).toMatchObject({
      status: 403,
      json: { code: 'forbidden', detail: expect.stringContaining('ALLOW_SECRET_READ') as string },
    });
    expect(c.mock!.calls).toEqual([]);
  });

  it('no other route replies with a secret', async () => {
    const secret = 's3cr3t-canary';
    const token = Buffer.from(`admin:${secret}`).toString('base64');
    await host.put('/proxy/blocks/secret/', { blockName: good.secret, secret });
    const login = { username: 'admin', password: secret };
    expect(
      (await host.put('/proxy/blocks/airbyte/server/', { blockName: good.server, ...login })).status,
    ).toBe(200);
    /** The routes whose reply holds it. */
    const telling = async (asked: Host) => {
      const found = [];
      for (const route of ROUTES.filter(({ method }) => method === 'GET')) {
        const { text } = await send(asked, route, good);
        if (text.includes(secret) || text.includes(token)) found.push(route.id);
      }
      return found;
    };
    expect(await telling(host)).toEqual(['getAirbyteServer', 'getSecretContents']);
    expect(await telling(reader)).toEqual([]);
  });

  it('secrets can still be made, and found by name', async () => {
    const named = { blockName: good.name('blind'), secret: 'v' };
    expect((await reader.post('/proxy/blocks/secret/', named)).status).toBe(200);
    const route = ROUTES.find((one) => one.id === 'getSecret')!;
    expect((await send(reader, route, good)).status).toBe(200);
  });
});
