import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { describeApi } from '../../src/serve.js';
import { ROUTES, makeGood, send, type Good } from '../support/all-routes.js';
import { contract } from '../support/contract.js';
import { startFacade } from '../support/facade.js';
import { Host } from '../support/host.js';
import { COMPLETED } from '../support/seed.js';
import { RawClient, repliesIn } from '../support/raw-client.js';

const KEY = 'k3y-of-the-only-host';
const HOOK = 'key-of-the-webhook';
const UI = 'https://ui.example.com';
const VERSION = '/proxy/prefect/version';

type Headers = Record<string, string>;

const c = contract({ PREFECT_API_RETRY: 'false', PREFECT_NOTIFICATIONS_WEBHOOK_KEY: HOOK });
/** What ends what was started beside it. */
const ends: (() => Promise<void>)[] = [];
let good: Good;
/** A facade with a key that lets the pages of UI in. */
let keyed: Started;

interface Started {
  host: Host;
  /** As a browser writes it. */
  origin: string;
}

beforeAll(async () => {
  good = await makeGood(c.host, c.seed);
  keyed = await start({
    PROXY_API_KEY: KEY,
    PROXY_ALLOWED_ORIGINS: `${UI.toUpperCase()}:443, tauri://localhost`,
  });
});
beforeEach(() => {
  c.mock!.reset();
  c.facade.lines.length = 0;
});
afterAll(async () => {
  for (const end of ends.reverse()) await end();
});

/** Starts a facade of the same orchestrator. */
async function start(env: Record<string, string>): Promise<Started> {
  const facade = await startFacade(c.apiUrl, { PREFECT_API_RETRY: 'false', ...env });
  const host = new Host(facade.url.replace('0.0.0.0', '127.0.0.1'));
  ends.push(
    () => facade.close(),
    () => host.close(),
  );
  return { host, origin: facade.url };
}

const { paths } = describeApi() as { paths: Record<string, Record<string, object>> };
const operations = Object.entries(paths).flatMap(([path, methods]) =>
  Object.keys(methods).map((method) => ({ method: method.toUpperCase() as 'GET', path })),
);
const OWN_PATHS = ['/healthz', '/readyz', '/metrics', '/openapi.json', '/docs', '/docs/1/docs.js'];
/** Each route of the API, those of the service itself, and what no route serves. */
const everything = [
  ...operations,
  ...[...OWN_PATHS, '/nope', '/'].map((path) => ({ method: 'GET' as const, path })),
  { method: 'POST' as const, path: '/nope' },
  { method: 'OPTIONS' as const, path: '/proxy/flows/shell/run/' },
].map(({ method, path }) => ({
  method,
  path: path.replaceAll(/\{\w+\}/g, '6a1c9c1e-0f5b-4a3e-9d53-0e9c6f6b2f11'),
}));

const crossOrigin = {
  status: 403,
  json: { code: 'cross_origin', detail: expect.stringContaining('PROXY_ALLOWED_ORIGINS') as string },
};
const unknownHost = {
  status: 421,
  json: { code: 'unknown_host', detail: expect.stringContaining('PROXY_ALLOWED_HOSTS') as string },
};
const version = (headers: Headers, { host }: Pick<Started, 'host'> = c) => host.get(VERSION, { headers });
const noPermission = expect.not.stringContaining('access-control') as string;

describe('A web page of another origin', () => {
  it.each(everything)('gets 403 from $method $path, and 421 by a rebound name', async ({ method, path }) => {
    const ways: Headers[] = [
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
      { origin: 'https://evil.example' },
      { origin: 'null' },
    ];
    for (const headers of ways) {
      const reply = await c.host.send(method, path, { headers });
      expect(reply).toMatchObject(crossOrigin);
      expect(JSON.stringify(reply.headers)).toEqual(noPermission);
    }
    expect(await c.host.send(method, path, { headers: { host: 'evil.test:8080' } })).toMatchObject(
      unknownHost,
    );
    expect(c.mock!.calls).toEqual([]);
  });

  it.each<[string, Headers]>([
    ['of another site', { 'sec-fetch-site': 'cross-site' }],
    ['of another port of this machine', { 'sec-fetch-site': 'same-site', origin: 'http://127.0.0.1:1' }],
    ['of another port, in a browser without Sec-Fetch-Site', { origin: 'http://127.0.0.1:1' }],
    ['of this machine by another name', { origin: 'http://localhost' }],
    ['in a sandbox, or a local file', { 'sec-fetch-site': 'cross-site', origin: 'null' }],
    ['that a later browser describes otherwise', { 'sec-fetch-site': 'near-site' }],
    ['with two origins', { origin: 'http://a.example, http://b.example' }],
    ['whose origin is a URL', { origin: 'http://127.0.0.1:1/' }],
    ['whose origin is empty', { origin: '' }],
    ['of an extension', { origin: 'chrome-extension://abcdef' }],
    ['that invents a proxy', { origin: 'https://evil.example', 'x-forwarded-host': 'evil.example' }],
  ])('%s is refused', async (_what, headers) => {
    expect(await version(headers)).toMatchObject(crossOrigin);
    expect(c.mock!.calls).toEqual([]);
  });

  it('is refused if its two headers disagree', async () => {
    const { url } = c.facade;
    for (const headers of [
      { 'sec-fetch-site': 'same-origin', origin: 'https://evil.example' },
      { 'sec-fetch-site': 'cross-site', origin: url },
    ])
      expect(await version(headers)).toMatchObject(crossOrigin);
  });

  it('is refused whatever its key, and does not learn whether the key is right', async () => {
    for (const key of [KEY, 'another-key-altogether', ''])
      expect(await version({ 'x-api-key': key, 'sec-fetch-site': 'cross-site' }, keyed)).toMatchObject(
        crossOrigin,
      );
    const headers = { 'x-notification-key': HOOK, origin: 'https://evil.example' };
    expect(await c.host.post('/webhooks/v1/notification/', {}, { headers })).toMatchObject(crossOrigin);
  });

  it.each([
    ['a Blob, whose request has no content type', []],
    ['a form', ['content-type: text/plain']],
    ['JSON', ['content-type: application/json']],
  ])('is refused before the body is read: %s', async (_what, more) => {
    for (const [status, lines] of [
      [403, ['host: localhost', 'origin: https://evil.example']],
      [421, ['host: evil.test']],
    ] as const) {
      const head = ['POST /proxy/flows/shell/run/ HTTP/1.1', ...lines, ...more, 'expect: 100-continue'];
      const client = new RawClient(c.facade.url).send(
        [...head, 'content-length: 100', 'connection: close', '', ''].join('\r\n'),
      );
      // A body that is wanted is asked for by a 100 first.
      expect(repliesIn(await client.closed).map((reply) => reply.status)).toEqual([status]);
    }
  });

  it('leaves a line in the log that says why, and nothing of what it sent', async () => {
    await c.host.get('/nope', { headers: { origin: 'https://evil.example' } });
    await version({ host: 'evil.test' });
    await expect
      .poll(() => c.facade.lines)
      .toMatchObject([
        { message: 'request', level: 'info', route: 'none', status: 403, code: 'cross_origin' },
        { message: 'request', level: 'info', route: VERSION, status: 421, code: 'unknown_host' },
      ]);
    expect(JSON.stringify(c.facade.lines)).not.toContain('evil');
  });
});

describe('What is no page of another origin', () => {
  it.each(ROUTES)('is served by $id', async (route) => {
    const headers = { 'sec-fetch-site': 'same-origin', origin: c.facade.url };
    expect((await send(c.host, route, good, { headers })).status).toBe(200);
  });

  it.each<[string, Headers]>([
    ['a program', {}],
    ['a program with the fetch of browsers', { 'sec-fetch-mode': 'cors' }],
    ['an address that was typed', { 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate' }],
    ['the own page', { 'sec-fetch-site': 'same-origin' }],
    ['the own page behind TLS', { host: 'localhost', origin: 'https://localhost' }],
    ['the own page behind TLS on another port', { host: 'localhost:8443', origin: 'https://localhost:8443' }],
    ['the own page, with a default port', { host: 'localhost:443', origin: 'https://localhost' }],
    ['the own page, in capitals', { host: 'LOCALHOST:80', origin: 'http://localhost' }],
  ])('is served: %s', async (_what, headers) => {
    expect((await version(headers)).status).toBe(200);
  });

  it('has the same port', async () => {
    expect(await version({ host: 'localhost:80', origin: 'https://localhost' })).toMatchObject(crossOrigin);
    expect(await version({ host: 'localhost', origin: 'https://localhost:8443' })).toMatchObject(crossOrigin);
  });
});

describe('A link on another site', () => {
  const followed = {
    'sec-fetch-site': 'cross-site',
    'sec-fetch-mode': 'navigate',
    'sec-fetch-dest': 'document',
    'sec-fetch-user': '?1',
  };

  it.each(['/docs', '/docs/'])('opens %s', async (path) => {
    for (const { host } of [c, keyed]) {
      const reply = await host.get(path, { headers: followed });
      expect(reply.status).toBe(200);
      expect(reply.headers['content-type']).toContain('text/html');
    }
  });

  it.each(['/openapi.json', '/metrics', '/readyz', VERSION, '/docs/x', '/docs/1/docs.js'])(
    'does not open %s',
    async (path) => {
      expect(await c.host.get(path, { headers: followed })).toMatchObject(crossOrigin);
    },
  );

  it.each<[string, Headers]>([
    ['a frame', { 'sec-fetch-dest': 'iframe' }],
    ['a script', { 'sec-fetch-dest': 'script', 'sec-fetch-mode': 'no-cors' }],
    ['a fetch', { 'sec-fetch-dest': 'empty', 'sec-fetch-mode': 'no-cors' }],
    ['a fetch that wants to read', { 'sec-fetch-mode': 'cors', origin: 'https://evil.example' }],
  ])('is not taken for %s', async (_what, headers) => {
    expect(await c.host.get('/docs', { headers: { ...followed, ...headers } })).toMatchObject(crossOrigin);
  });

  it('is not taken for a form', async () => {
    const headers = { ...followed, origin: 'https://evil.example' };
    expect(await c.host.post('/docs', {}, { headers })).toMatchObject(crossOrigin);
  });
});

describe('A page whose origin is in PROXY_ALLOWED_ORIGINS', () => {
  const fromUi = { origin: UI, 'sec-fetch-site': 'cross-site' };
  const withKey = { ...fromUi, 'x-api-key': KEY };
  const permission = {
    'access-control-allow-origin': UI,
    'access-control-expose-headers': '*',
    vary: 'origin',
  };

  it('is served with its key, and may read the reply', async () => {
    const reply = await version(withKey, keyed);
    expect(reply).toMatchObject({ status: 200, headers: permission });
    expect(reply.headers['access-control-allow-credentials']).toBeUndefined();
    expect((await version({ ...withKey, origin: 'tauri://localhost' }, keyed)).status).toBe(200);
  });

  it('may read errors and events as well', async () => {
    expect(await version(fromUi, keyed)).toMatchObject({ status: 401, headers: permission });
    const missing = await keyed.host.get('/nope', { headers: withKey });
    expect(missing).toMatchObject({ status: 404, headers: permission });
    const run = await c.seed.flowRun({ states: [COMPLETED] });
    const events = await keyed.host.get(`/proxy/v1/flow_runs/${run}/events`, { headers: withKey });
    expect(events).toMatchObject({
      status: 200,
      headers: { ...permission, 'content-type': 'text/event-stream' },
    });
  });

  it('is given permission before it sends the key', async () => {
    const headers = {
      ...fromUi,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization,content-type',
    };
    expect(await keyed.host.send('OPTIONS', '/proxy/flows/shell/run/', { headers })).toMatchObject({
      status: 204,
      text: '',
      headers: {
        ...permission,
        'access-control-allow-methods': 'GET, POST, PUT, PATCH, DELETE',
        'access-control-allow-headers': 'authorization,content-type',
        'access-control-max-age': '600',
      },
    });
  });

  it('is known by the Origin header, which links and images do not send', async () => {
    const headers = { 'sec-fetch-site': 'cross-site', 'x-api-key': KEY };
    expect(await version(headers, keyed)).toMatchObject(crossOrigin);
  });

  it.each(['https://ui.example.com.evil.example', 'http://ui.example.com', 'https://x.ui.example.com'])(
    'is not of the origin %s',
    async (origin) => {
      const headers = { origin, 'access-control-request-method': 'POST', 'x-api-key': KEY };
      for (const method of ['GET', 'OPTIONS'] as const) {
        const reply = await keyed.host.send(method, VERSION, { headers });
        expect(reply).toMatchObject(crossOrigin);
        expect(JSON.stringify(reply.headers)).toEqual(noPermission);
      }
    },
  );

  it('gets no permission for what is no preflight, nor does the own page', async () => {
    const options = await keyed.host.send('OPTIONS', VERSION, { headers: withKey });
    expect(options).toMatchObject({ status: 405, headers: { allow: 'GET' } });
    const headers = { 'access-control-request-method': 'POST', origin: keyed.origin, 'x-api-key': KEY };
    const own = await keyed.host.send('OPTIONS', VERSION, { headers });
    expect(own.status).toBe(405);
    expect(JSON.stringify(own.headers)).toEqual(noPermission);
  });
});

describe('Without a key a facade answers', () => {
  const statuses = async ({ host }: Pick<Started, 'host'>, names: string[]) =>
    Object.fromEntries(
      await Promise.all(
        names.map(
          async (name) => [name, (await host.get('/healthz', { headers: { host: name } })).status] as const,
        ),
      ),
    );
  const all = (names: string[], status: number) => Object.fromEntries(names.map((name) => [name, status]));

  it('to the names and addresses of loopback', async () => {
    const local = [
      'localhost',
      'localhost:8080',
      'LocalHost.:80',
      'facade.localhost',
      '127.0.0.1',
      '127.8.9.10:80',
    ];
    const names = [...local, '[::1]:8080'];
    expect(await statuses(c, names)).toEqual(all(names, 200));
  });

  it('to no other ones on loopback', async () => {
    const names = [
      'evil.test',
      'evil.test:8080',
      'localhost.evil.test',
      'notlocalhost',
      '127.0.0.1.evil.test',
    ];
    const more = ['0.0.0.0', '192.168.1.5:8080', '[::2]', 'facade', 'host.docker.internal'];
    expect(await statuses(c, [...names, ...more])).toEqual(all([...names, ...more], 421));
  });

  it('to each name for itself, whatever came before', async () => {
    for (const name of ['localhost', 'evil.test', 'localhost', 'evil.test'])
      expect(await statuses(c, [name])).toEqual({ [name]: name === 'localhost' ? 200 : 421 });
  });

  it('to HTTP/1.0 without a Host, which no browser sends', async () => {
    const client = new RawClient(c.facade.url).send(`GET ${VERSION} HTTP/1.0\r\n\r\n`);
    expect(repliesIn(await client.closed).map(({ status }) => status)).toEqual([200]);
  });

  it('to the names of PROXY_ALLOWED_HOSTS, and to that by which Prefect calls it', async () => {
    const listed = await start({
      PROXY_ALLOWED_HOSTS: 'Host.Docker.Internal, *.corp.example, fd00::1',
      WEBHOOK_PUBLIC_URL: 'http://facade:8080',
    });
    const names = [
      'host.docker.internal:80',
      'a.corp.example',
      'a.b.corp.example',
      '[fd00::1]',
      'facade',
      'localhost',
    ];
    expect(await statuses(listed, names)).toEqual(all(names, 200));
    const others = ['corp.example', 'evilcorp.example', 'docker.internal', 'evil.test'];
    expect(await statuses(listed, others)).toEqual(all(others, 421));
  });

  it('to any name if PROXY_ALLOWED_HOSTS is *', async () => {
    expect(await statuses(await start({ PROXY_ALLOWED_HOSTS: '*' }), ['evil.test'])).toEqual({
      'evil.test': 200,
    });
  });

  it('to addresses and names without a dot if it serves other machines (ALLOW_UNAUTHENTICATED)', async () => {
    const open = await start({
      PREFECT_PROXY_API_HOST: '0.0.0.0',
      ALLOW_UNAUTHENTICATED: 'true',
      PROXY_ALLOWED_HOSTS: 'facade.default.svc',
    });
    // As health checks, other containers and other machines call it.
    const names = [
      '127.0.0.1:80',
      '0.0.0.0:80',
      '10.1.2.3:80',
      '[fd00::7]:80',
      'facade:80',
      'facade.default.svc',
    ];
    expect(await statuses(open, names)).toEqual(all(names, 200));
    const others = ['evil.test', 'facade.other.svc', '10.1.2.3.evil.test'];
    expect(await statuses(open, others)).toEqual(all(others, 421));
  });
});

it('With a key a facade answers to any name', async () => {
  const host = 'proxy.example.com';
  expect((await version({ host, 'x-api-key': KEY }, keyed)).status).toBe(200);
  expect((await version({ host }, keyed)).status).toBe(401);
  const own = { host, origin: 'https://proxy.example.com', 'sec-fetch-site': 'same-origin' };
  expect((await version({ ...own, 'x-api-key': KEY }, keyed)).status).toBe(200);
});
