import { createServer } from 'node:http';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { detailOf, makeGood, ROUTES, send, type Good } from '../support/all-routes.js';
import { contract } from '../support/contract.js';
import { startFacade } from '../support/facade.js';
import { Host } from '../support/host.js';
import type { Fault } from '../support/mock/index.js';
import { unusedUrl } from '../support/tcp-proxy.js';

const c = contract({ PREFECT_API_RETRY_DELAY: '0.001' });
const JSON_TYPE = { 'content-type': 'application/json' };
const said = (status: number, body: unknown) => ({ status, body: JSON.stringify(body), headers: JSON_TYPE });
const page = (status: number) => ({ status, body: '<html>', headers: { 'content-type': 'text/html' } });
const GONE = said(404, { detail: 'It is not there' });

const DELETIONS = ROUTES.filter(({ method }) => method === 'DELETE');
let good: Good;
beforeAll(async () => {
  good = await makeGood(c.host, c.seed);
});
beforeEach(async () => {
  c.mock!.reset();
  expect((await c.host.get(`/proxy/flow_runs/${good.run}/poll`)).status).toBe(200);
});

/** The first DELETE meets one thing, those after it another one. */
function meet(first: ReturnType<Fault>, second: ReturnType<Fault>): void {
  let deletions = 0;
  c.mock!.fault(({ method }) => {
    if (method !== 'DELETE') return undefined;
    deletions += 1;
    return deletions === 1 ? first : second;
  });
}

describe.each(DELETIONS)('$id', (route) => {
  it.each([
    [
      "Prefect's 503, which says that nothing was done",
      said(503, { exception_message: 'Service Unavailable' }),
    ],
    ['the 503 of a gateway', page(503)],
    ['a 429', said(429, {})],
  ])('is a 404 where nothing is there after %s', async (_what, first) => {
    meet(first, GONE);
    const reply = await send(c.host, route, good);
    expect(reply.status).toBe(404);
    expect(reply.json).toMatchObject({ detail: route.ownText ? GONE.body : detailOf(route, good) });
  });

  it.each([
    ['a reset', 'reset'],
    ['a reply that is cut', 'truncate'],
    ['the 502 of a gateway', page(502)],
    ['the 504 of a gateway', page(504)],
  ] as const)('is done where nothing is there after %s', async (_what, first) => {
    meet(first, GONE);
    expect((await send(c.host, route, good)).status).toBe(200);
  });

  it.each([
    ['a 503', said(503, { exception_message: 'Service Unavailable' })],
    ['a reset', 'reset'],
  ] as const)('is an outage where a page of something in between says 404 after %s', async (_what, first) => {
    meet(first, page(404));
    expect((await send(c.host, route, good)).status).toBe(502);
  });
});

describe('A deletion whose first connection is refused', () => {
  it('is a 404 where nothing is there', async () => {
    const url = await unusedUrl();
    const facade = await startFacade(`${url}/api`, { PREFECT_API_RETRY_DELAY: '0.2' });
    const host = new Host(facade.url);
    const deletion = host.delete(`/proxy/flow_runs/${good.doomedRun}`);
    await expect.poll(() => facade.arrived()).toBe(1);
    const deletions: string[] = [];
    const late = createServer(({ method = '' }, response) => {
      deletions.push(method);
      response.writeHead(GONE.status, GONE.headers).end(GONE.body);
    }).listen(Number(new URL(url).port), '127.0.0.1');
    expect((await deletion).status).toBe(404);
    expect(deletions).toEqual(['DELETE']);
    expect(facade.lines.at(-1)).toMatchObject({ message: 'request', status: 404 });
    expect(Number(facade.lines.at(-1)?.['upstream_calls'])).toBeGreaterThan(1);
    await host.close();
    await facade.close();
    late.close();
  });
});
