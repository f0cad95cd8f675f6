import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ROUTES, makeGood, send, type Good } from './support/all-routes.js';
import { contract } from './support/contract.js';
import { startFacade } from './support/facade.js';
import { Host, type Reply } from './support/host.js';
import { COMPLETED } from './support/seed.js';
import { RawClient, repliesIn } from './support/raw-client.js';

const c = contract({ PREFECT_API_RETRY: 'false' });
let good: Good;
beforeAll(async () => {
  good = await makeGood(c.host, c.seed);
});
beforeEach(() => {
  c.mock!.reset();
});

const HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

function expectHeaders({ headers }: Pick<Reply, 'headers'>): void {
  expect(headers).toMatchObject(HEADERS);
  expect(Object.keys(headers)).not.toEqual(
    expect.arrayContaining([expect.stringMatching(/^(server|x-powered-by|access-control-.*)$/)]),
  );
}

describe('Each reply says how it may be used', () => {
  it.each(ROUTES)('$id', async (route) => {
    const reply = await send(c.host, route, good);
    expect(reply.status).toBe(200);
    expectHeaders(reply);
  });

  it.each(['/healthz', '/openapi.json', '/nope', '/proxy/flow_runs', '/sentry-debug'])('%s', async (path) => {
    expectHeaders(await c.host.get(path));
  });

  it('a stream of events', async () => {
    const run = await c.seed.flowRun({ states: [COMPLETED] });
    const reply = await c.host.get(`/proxy/v1/flow_runs/${run}/events`);
    expect(reply.headers['content-type']).toBe('text/event-stream');
    expectHeaders(reply);
  });

  it('an error of the orchestrator', async () => {
    c.mock!.fault(() => ({ status: 500 }));
    const reply = await c.host.get(`/proxy/deployments/${good.deployment}`);
    expect(reply.status).toBe(502);
    expectHeaders(reply);
  });

  it('a wrong key', async () => {
    const facade = await startFacade(c.apiUrl, { PROXY_API_KEY: 'sixteen-letters!' });
    const host = new Host(facade.url);
    const reply = await host.get('/proxy/prefect/version');
    expect(reply.status).toBe(401);
    expectHeaders(reply);
    await host.close();
    await facade.close();
  });

  it.each([
    ['no HTTP', 'nonsense\r\n\r\n', 400],
    ['an impossible target', 'GET http:// HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['a tunnel', 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n', 405],
  ])('%s', async (_what, text, status) => {
    const [reply] = repliesIn(await new RawClient(c.facade.url).send(text).closed);
    expect(reply?.status).toBe(status);
    expectHeaders(reply!);
  });
});

it('no reply tells where in our code something failed', async () => {
  // The page of an orchestrator that shows its own stack.
  const trace =
    'Traceback (most recent call last):\n  File "/srv/app.py", line 1\n    at handler (file:///srv/x.js:1:1)';
  for (const [status, body] of [
    [500, trace],
    [200, trace],
    [200, '[]'],
  ] as const) {
    c.mock!.reset();
    c.mock!.fault(() => ({ status, body }));
    for (const route of ROUTES) {
      const { text } = await send(c.host, route, good);
      expect({ id: route.id, text }).toEqual({
        id: route.id,
        text: expect.not.stringMatching(/\bat .*:\d+:\d+|Traceback|node_modules|\.[jt]s:\d/) as string,
      });
    }
  }
});
