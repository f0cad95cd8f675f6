import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { Host } from '../support/host.js';

let prefect: Host;
let api: URL;
beforeAll(() => {
  api = new URL(inject('orchestratorUrl') ?? '');
  prefect = new Host(api.origin);
});
afterAll(() => prefect.close());

/** What a browser asks before it sends JSON for a page of an origin, and what it is told when it has sent something. */
async function permissionsFor(origin: string): Promise<unknown[]> {
  const asks = { origin, 'access-control-request-method': 'POST' };
  const preflight = await prefect.send('OPTIONS', '/api/block_documents/filter', { headers: asks });
  const reply = await prefect.get('/api/admin/version', { headers: { origin } });
  expect(reply.status).toBe(200);
  return [preflight, reply].map(({ headers }) => headers['access-control-allow-origin']);
}

it("lets the pages of Prefect's own UI call Prefect, by both names of this machine", async () => {
  for (const origin of [api.origin, `http://localhost:${api.port}`])
    expect(await permissionsFor(origin)).toEqual([origin, origin]);
});

it.each(['https://evil.example', 'null', 'http://localhost:1', 'http://127.0.0.1'])(
  'gives pages of the origin %s no permission to call Prefect',
  async (origin) => {
    expect(await permissionsFor(origin)).toEqual([undefined, undefined]);
  },
);
