import { request } from 'node:http';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { contract } from './support/contract.js';
import { ROUTES, makeGood, send, type Good } from './support/all-routes.js';

const c = contract();
let good: Good;
beforeAll(async () => {
  good = await makeGood(c.host, c.seed);
});
beforeEach(() => {
  c.mock!.reset();
});

/** `fetch` and undici resolve `..` before they send. */
function asItIs(url: string, method: string, path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    request({ hostname, port, method, path, agent: false }, (reply) => {
      reply.resume().once('end', () => {
        resolve(reply.statusCode);
      });
    })
      .once('error', reject)
      .end();
  });
}

const otherForm = (path: string) => {
  const [before = '', query] = path.split('?');
  const turned = before.endsWith('/') ? before.slice(0, -1) : `${before}/`;
  return query === undefined ? turned : `${turned}?${query}`;
};

describe('The address space', () => {
  it.each([
    '/',
    '/nope',
    '/proxy',
    '/proxy/',
    '//',
    '/proxy//flow_runs',
    '/PROXY/prefect/version',
    '/proxy/nope/',
  ])('unknown: %s', async (path) => {
    const reply = await c.host.get(path);
    expect(reply).toMatchObject({ status: 404, json: { detail: 'Not Found', code: 'not_found' } });
    expect(reply.headers['content-type']).toBe('application/json');
  });

  it.each([
    ['PATCH', '/proxy/flow_runs/x', 'GET, DELETE'],
    ['PATCH', '/proxy/deployments/x/', 'GET, DELETE'],
    ['DELETE', '/proxy/blocks/airbyte/server', 'POST, PUT'],
    ['DELETE', '/proxy/blocks/secret/', 'POST, PUT'],
    ['POST', '/proxy/prefect/version', 'GET'],
    // A path of its own, no deployment of that id.
    ['GET', '/proxy/deployments/filter', 'POST'],
    ['DELETE', '/proxy/flow_runs/late/', 'POST'],
    ['PUT', '/proxy/v1/deployments/get_scheduled_flow_runs', 'GET'],
    ['PUT', '/healthz', 'GET, HEAD'],
    ['DELETE', '/docs', 'GET, HEAD'],
    ['PUT', '/proxy/blocks/secret/x', 'GET'],
    ['GET', '/proxy/blocks/airbyte/server/', 'POST, PUT'],
    ['GET', '/proxy/workers/filter', 'POST'],
    ['POST', '/delete-a-block/x', 'DELETE'],
    ['POST', '/proxy/v1/deployments/x', 'PUT'],
    ['GET', '/proxy/v1/deployments/x/entrypoint', 'PATCH'],
    ['GET', '/proxy/deployments/x/set_schedule/active', 'POST'],
    ['OPTIONS', '/proxy/flow_runs/x/poll', 'GET'],
  ] as const)('%s %s: 405, Allow: %s', async (method, path, allow) => {
    const reply = await c.host.send(method, path);
    expect(reply).toMatchObject({
      status: 405,
      headers: { allow },
      json: { detail: 'Method Not Allowed', code: 'method_not_allowed' },
    });
    expect(c.mock!.calls).toEqual([]);
  });

  it('HEAD on a path of several methods: all of them are in Allow', async () => {
    const { status, headers } = await c.host.send('HEAD', '/proxy/flow_runs/x');
    expect([status, headers['allow']]).toEqual([405, 'GET, DELETE']);
  });

  it.each(ROUTES)('$id: HEAD and OPTIONS are 405', async (route) => {
    for (const method of ['HEAD', 'OPTIONS'] as const) {
      const reply = await c.host.send(method, route.path(good));
      expect(reply.status).toBe(405);
      expect(reply.headers['allow']).toBeTruthy();
    }
    expect(c.mock!.calls).toEqual([]);
  });

  it.each(ROUTES)(
    '$id: Allow names the methods that the path is served with, and no others',
    async (route) => {
      const { status, headers } = await c.host.send('OPTIONS', route.path(good));
      const named = String(headers['allow']).split(', ');
      expect({ status, own: named.includes(route.method) }).toEqual({ status: 405, own: true });
      // Nothing is really done.
      c.mock!.fault(() => ({ status: 422, body: '{"detail":"no"}' }));
      const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD'] as const;
      const served = [];
      for (const method of methods)
        if ((await c.host.send(method, route.path(good))).status !== 405) served.push(method);
      expect(named.sort()).toEqual(served.sort());
    },
  );

  it.each(ROUTES)('$id: with and without the last slash, without a redirect', async (route) => {
    // Nothing is really done, so that both forms meet the same.
    c.mock!.fault(() => ({ status: 422, body: '{"detail":"no"}' }));
    const first = await send(c.host, route, good);
    const body = route.body?.(good);
    const path = otherForm(route.path(good));
    const second = await c.host.send(route.method, path, body === undefined ? {} : { body });
    expect(second.status).toBe(first.status);
    expect(second.headers['location']).toBeUndefined();
    expect((second.json as { detail: unknown }).detail).toEqual((first.json as { detail: unknown }).detail);
  });

  it('serves both forms for real', async () => {
    for (const path of ['/proxy/prefect/version', `/proxy/flow_runs/${good.run}/poll`]) {
      const replies = await Promise.all([c.host.get(path), c.host.get(`${path}/`)]);
      expect(replies.map(({ status }) => status)).toEqual([200, 200]);
    }
  });
});

describe('Paths that try to be clever', () => {
  it.each([
    'DELETE /delete-a-block/..%2Fdeployments%2F00000000-0000-4000-8000-000000000000',
    'GET /proxy/deployments/a%2Fb',
    'GET /proxy/flow_runs/graph/a%2Fb',
    'GET /proxy/flow_runs/logs/a%2Fb?offset=0&limit=200&task_run_id=',
    'GET /proxy/flow_runs/v1/logs/a%2fb',
    'POST /proxy/deployments/flow%2Fname/flow_run',
    'POST /proxy/deployments/00000000-0000-4000-8000-000000000000/set_schedule/act%2Five',
    'GET /proxy/blocks/airbyte/server/a%2Fb',
  ])('%s: an encoded slash separates', async (request) => {
    const [method, path] = request.split(' ') as ['GET', string];
    const reply = await c.host.send(method, path);
    expect(reply).toMatchObject({ status: 404, json: { detail: 'Not Found' } });
    expect(c.mock!.calls).toEqual([]);
  });

  const names = ['%00', 'x'.repeat(6_000), '%252e%252e', '%3Fx=1', '%23', '%ZZ', '%5C..', '...'];
  const ids = ROUTES.filter(({ pattern }) => pattern.includes('_id}'));
  it.each(ids)('$id: none of them is an id', async (route) => {
    for (const name of names) {
      const path = route.pattern.replace(/\{\w+\}/, name).replace('{status}', 'active');
      const body = route.body?.(good);
      expect(await c.host.send(route.method, path, body === undefined ? {} : { body })).toMatchObject({
        status: 404,
      });
    }
    expect(c.mock!.calls).toEqual([]);
  });

  it.each(names.slice(1))('as a name, %s stays below the block type', async (name) => {
    await c.host.get(`/proxy/blocks/airbyte/server/${name}`);
    expect(c.mock!.calls).toHaveLength(1);
    for (const { path, search } of c.mock!.calls) {
      expect(path).toMatch(/^\/block_types\/slug\/airbyte-server\/block_documents\/name\/[^/]+$/);
      expect(search).toBe('');
    }
  });

  it.each(['..', '.%2e', '%2E%2e'])('%s does not lead to another route', async (dots) => {
    for (const method of ['GET', 'DELETE']) {
      const path = `/proxy/flow_runs/${dots}/deployments/${good.doomedDeployment}`;
      expect(await asItIs(c.facade.url, method, path)).toBe(404);
    }
    expect(c.mock!.calls).toEqual([]);
  });

  it('an id with a query after it deletes nothing', async () => {
    const reply = await c.host.delete(`/delete-a-block/${good.block}%3Fx=1`);
    expect(reply.status).toBe(404);
    expect(c.mock!.calls).toEqual([]);
  });
});
