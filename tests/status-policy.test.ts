import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { contract } from './support/contract.js';
import { startFacade } from './support/facade.js';
import { Host, type Reply } from './support/host.js';
import type { MockOrchestrator } from './support/mock/index.js';
import { detailOf, makeGood, ROUTES, type Good, type RouteCase, send } from './support/all-routes.js';
import { unusedUrl } from './support/tcp-proxy.js';

const c = contract({ PREFECT_API_RETRY: 'false' });
let good: Good;
let mock: MockOrchestrator;

beforeAll(async () => {
  good = await makeGood(c.host, c.seed);
  mock = c.mock!;
});
beforeEach(async () => {
  mock.reset();
  // Ends any row of failures, so that the breaker stays closed. Not by the version: once known, it outlives failures.
  expect((await c.host.get(`/proxy/flow_runs/${good.run}/poll`)).status).toBe(200);
});

const json = (status: number, body: unknown, headers = {}) => ({
  status,
  body: JSON.stringify(body),
  headers: { 'content-type': 'application/json', ...headers },
});
const html = { status: 200, body: '<html>Please log in</html>', headers: { 'content-type': 'text/html' } };
const echo = {
  exception_message: 'Invalid request received.',
  exception_detail: [{ loc: ['body', 'name'], msg: 'is wrong', type: 'value_error', input: 'ECHOED' }],
  request_body: { secret: 'ECHOED' },
};

interface Policy {
  what: string;
  fault: ReturnType<typeof json>;
  status: number;
  code: string;
  retryAfter?: string;
}

const POLICY: Policy[] = [
  { what: '400', fault: json(400, { detail: 'bad' }), status: 400, code: 'bad_request' },
  { what: '409', fault: json(409, { detail: 'taken' }), status: 409, code: 'conflict' },
  { what: '422 with an echo', fault: json(422, echo), status: 400, code: 'bad_request' },
  { what: '401', fault: json(401, {}), status: 502, code: 'orchestrator_refused_credentials' },
  { what: '403', fault: json(403, {}), status: 502, code: 'orchestrator_refused_credentials' },
  {
    what: '429 with Retry-After',
    fault: json(429, {}, { 'retry-after': '7' }),
    status: 503,
    code: 'orchestrator_unavailable',
    retryAfter: '7',
  },
  { what: '500', fault: json(500, {}), status: 502, code: 'orchestrator_failed' },
  { what: '502', fault: { ...html, status: 502 }, status: 502, code: 'orchestrator_failed' },
  { what: '503', fault: json(503, {}), status: 503, code: 'orchestrator_unavailable', retryAfter: '2' },
  {
    what: '503 with Retry-After',
    fault: json(503, {}, { 'retry-after': '11' }),
    status: 503,
    code: 'orchestrator_unavailable',
    retryAfter: '11',
  },
  { what: '504', fault: { ...html, status: 504 }, status: 502, code: 'orchestrator_failed' },
  {
    what: 'a redirect',
    fault: json(302, {}, { location: '/login' }),
    status: 502,
    code: 'orchestrator_failed',
  },
  { what: 'a login page with 200', fault: html, status: 502, code: 'orchestrator_failed' },
  { what: 'another JSON', fault: json(200, { hello: 1 }), status: 502, code: 'orchestrator_failed' },
  {
    what: 'half a JSON',
    fault: { ...json(200, {}), body: '[{"id":' },
    status: 502,
    code: 'orchestrator_failed',
  },
];

/** The 4xx that an orchestrator answers with its own words, which deletions pass on. */
const OWN_TEXT = new Set(['conflict', 'not_found']);

function expectFailure(reply: Reply, route: RouteCase, { fault, ...expected }: Omit<Policy, 'what'>): void {
  expect({ id: route.id, status: reply.status, body: reply.json }).toMatchObject({
    id: route.id,
    status: expected.status,
    body: {
      code: expected.code,
      detail: route.ownText && OWN_TEXT.has(expected.code) ? fault.body : detailOf(route, good),
    },
  });
  expect(reply.headers['retry-after']).toBe(expected.retryAfter);
  expect(reply.text).not.toContain('ECHOED');
}

describe.each(ROUTES)('$id, where the orchestrator answers', (route) => {
  it.each(POLICY)('$what: $status', async (policy) => {
    mock.fault(() => policy.fault);
    expectFailure(await send(c.host, route, good), route, policy);
  });

  it('404', async () => {
    const fault = json(404, { detail: 'not there' });
    mock.fault(() => fault);
    const reply = await send(c.host, route, good);
    const { missing } = route;
    if (missing) {
      expect({ status: reply.status, json: reply.json }).toMatchObject({
        status: missing.status,
        json: missing.json(good),
      });
    } else {
      expectFailure(reply, route, { fault, status: 404, code: 'not_found' });
    }
  });
});

describe('A page of something in between', () => {
  // An ingress without a backend says 404: a host that believes it deletes its rows.
  it.each([400, 404, 409, 422])('with status %d is an outage, not a verdict', async (status) => {
    mock.fault(() => ({ ...html, status }));
    for (const path of [`/proxy/flow_runs/${good.run}/poll`, `/proxy/flow_runs/${good.run}`]) {
      expect((await c.host.get(path)).status).toBe(502);
    }
  });
});

describe('A reply that is cut, or none', () => {
  // A 204 has nothing that could be cut.
  it.each(ROUTES.filter((route) => !route.silent))('$id: cut in half is an outage', async (route) => {
    mock.fault(() => 'truncate');
    const reply = await send(c.host, route, good);
    expect([502, 503]).toContain(reply.status);
    expect(reply.json).toMatchObject({ detail: detailOf(route, good) });
  });

  it.each(ROUTES)('$id: a reset is 503 with Retry-After', async (route) => {
    mock.fault(() => 'reset');
    const reply = await send(c.host, route, good);
    expect(reply).toMatchObject({ status: 503, json: { detail: detailOf(route, good) } });
    expect(reply.headers['retry-after']).toBe('2');
  });

  it('nothing listens: 503 with Retry-After on every route', async () => {
    const facade = await startFacade(`${await unusedUrl()}/api`, { PREFECT_API_RETRY: 'false' });
    const host = new Host(facade.url);
    for (const route of ROUTES) {
      const reply = await send(host, route, good);
      expect(reply).toMatchObject({
        status: 503,
        json: { detail: detailOf(route, good), code: 'orchestrator_unavailable' },
      });
      expect(Number(reply.headers['retry-after'])).toBeGreaterThan(0);
    }
    await host.close();
    await facade.close();
  });

  it('too slow: 504 on every route', async () => {
    mock.fault(() => 'hang');
    const facade = await startFacade(c.apiUrl, { PREFECT_API_TIMEOUT: '0.3' });
    const host = new Host(facade.url);
    // All at once: a breaker that opens in between would answer for the orchestrator.
    const replies = await Promise.all(ROUTES.map((route) => send(host, route, good)));
    replies.forEach((reply, index) => {
      const route = ROUTES[index]!;
      expect({ id: route.id, status: reply.status, body: reply.json }).toMatchObject({
        id: route.id,
        status: 504,
        body: { detail: detailOf(route, good), code: 'orchestrator_timeout' },
      });
    });
    await host.close();
    await facade.close();
  });

  it('a state change that is not accepted is no success', async () => {
    const id = await c.seed.flowRun();
    const answer = (status: string) => json(200, { status, state: null, details: { reason: 'not now' } });
    const retry = () => c.host.post(`/proxy/flow_runs/${id}/retry`, { minutes: 1 });
    for (const [said, status] of [
      ['REJECT', 409],
      ['ABORT', 409],
      ['WAIT', 503],
    ] as const) {
      mock.reset();
      mock.fault(({ path }) => (path.endsWith('/set_state') ? answer(said) : undefined));
      expect(await retry()).toMatchObject({ status, json: { upstream: 'not now' } });
    }
  });
});
