import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { contract } from '../support/contract.js';
import { startFacade, type Facade } from '../support/facade.js';
import { Host } from '../support/host.js';
import { startTcpProxy, type TcpProxy, type Trouble } from '../support/tcp-proxy.js';

const c = contract();
const isMock = inject('orchestratorUrl') === undefined;

let wire: TcpProxy;
let facade: Facade;
let host: Host;
beforeEach(async () => {
  wire = await startTcpProxy(c.apiUrl);
  await serve({ PREFECT_API_TIMEOUT: '15' });
});
async function serve(env: Record<string, string>): Promise<void> {
  facade = await startFacade(wire.url, env);
  host = new Host(facade.url);
}
afterEach(async () => {
  await host.close();
  await wire.close();
  await facade.close();
  c.mock?.reset();
});

const ask = async () => {
  const { status, json, headers } = await host.get('/proxy/prefect/version');
  return { status, json, reachable: headers['x-prefect-reachable'] };
};
function makeTrouble(trouble: Trouble): void {
  wire.trouble = () => trouble;
  wire.dropAll();
}

describe('GET /proxy/prefect/version while Prefect is away', () => {
  it.each([
    ['refuses connections', { refuse: true }],
    ['resets connections', { resetAfterBytes: 10 }],
    ['closes connections within a reply', { closeAfterBytes: 100 }],
    ['does not answer for a minute', { delayMs: 60_000 }],
  ] as [string, Trouble][])('answers the last known version if Prefect %s', async (_what, trouble) => {
    const current = await ask();
    expect(current).toMatchObject({ status: 200, reachable: undefined });
    makeTrouble(trouble);
    const since = performance.now();
    expect(await ask()).toEqual({ ...current, reachable: 'false' });
    // 2 s on a quiet machine; the deadline of this facade is later.
    expect(performance.now() - since).toBeLessThan(10_000);
  });

  it('answers the current version again when Prefect is back', async () => {
    const current = await ask();
    makeTrouble({ refuse: true });
    expect((await ask()).reachable).toBe('false');
    makeTrouble({});
    await expect.poll(ask, { timeout: 10_000 }).toEqual(current);
  });

  it('answers an error if the version was never known', async () => {
    makeTrouble({ refuse: true });
    const reply = await host.get('/proxy/prefect/version');
    expect(reply).toMatchObject({ status: 503, json: { detail: 'failed to fetch the prefect version' } });
    expect(reply.headers['retry-after']).toMatch(/^\d+$/);
  });
});

describe.runIf(isMock)('A reply to GET /admin/version that is no version', () => {
  const json = { 'content-type': 'application/json' };
  beforeEach(async () => {
    await host.close();
    await facade.close();
    await serve({ PREFECT_API_RETRY: 'false' });
  });
  const FOREIGN = [
    '"hello"',
    '"404"',
    '"502 Bad Gateway"',
    '"<html>3.8.8</html>"',
    `"3.${'8'.repeat(200)}"`,
    '""',
    '3.8',
    'null',
    'true',
    '["3.8.8"]',
    '{"version":"3.8.8"}',
    '<html>Please log in</html>',
    '',
  ];

  it.each(FOREIGN)('%j is a 502, or the last known version', async (body) => {
    const answer = () => ({ status: 200, body, headers: json });
    c.mock!.fault(answer);
    expect(await ask()).toMatchObject({ status: 502, json: { code: 'orchestrator_failed' } });
    c.mock!.reset();
    expect((await ask()).json).toBe('3.8.8');
    c.mock!.fault(answer);
    expect(await ask()).toEqual({ status: 200, json: '3.8.8', reachable: 'false' });
  });

  it.each([301, 400, 401, 403, 404, 409, 422, 429, 500, 502, 503, 504])(
    'status %d does not take the last known version away',
    async (status) => {
      await ask();
      c.mock!.fault(() => ({ status, body: '{"detail":"no"}', headers: json }));
      expect(await ask()).toEqual({ status: 200, json: '3.8.8', reachable: 'false' });
    },
  );

  it.each(['3.8.8', '4.0', '3.0.0rc1', '3.9.2.dev3+14.g1a2b3c4.dirty', '0+unknown'])(
    '%j is a version',
    async (version) => {
      c.mock!.fault(() => ({ status: 200, body: JSON.stringify(version), headers: json }));
      expect(await ask()).toEqual({ status: 200, json: version, reachable: undefined });
    },
  );
});
