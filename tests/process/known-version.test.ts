import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Host } from '../support/host.js';
import { startMockOrchestrator, type MockOrchestrator } from '../support/mock/index.js';
import { buildProgram, Program } from '../support/program.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';

let built: Awaited<ReturnType<typeof buildProgram>>;
let mock: MockOrchestrator;
let wire: TcpProxy;
let program: Program;
beforeAll(async () => {
  built = await buildProgram();
});
afterAll(() => built.remove());
beforeEach(async () => {
  mock = await startMockOrchestrator();
  wire = await startTcpProxy(mock.url);
});
afterEach(async () => {
  await program.end();
  await wire.close();
  await mock.close();
});

function start(env: Record<string, string>): Program {
  program = new Program({
    file: built.file,
    cwd: '.',
    env: { PREFECT_API_URL: wire.url, PREFECT_API_RETRY: 'false', ...env },
  });
  return program;
}

/** Asks on a connection of its own, so that any of the workers may answer. */
async function ask(url: string) {
  const host = new Host(url);
  const { status, headers } = await host.get('/proxy/prefect/version');
  await host.close();
  return { status, reachable: headers['x-prefect-reachable'] };
}

function cutOff(isAway: boolean): void {
  wire.trouble = () => ({ refuse: isAway });
  wire.dropAll();
}

const askedForVersion = () => mock.calls.filter(({ path }) => path === '/admin/version').length;
const STALE = { status: 200, reachable: 'false' };

describe("Prefect's version", () => {
  it('is known to each worker soon after the start, before a host asks', async () => {
    const url = await start({ WEB_CONCURRENCY: '2' }).serves(2);
    await expect.poll(askedForVersion, { timeout: 10_000 }).toBe(2);
    cutOff(true);
    for (let n = 0; n < 8; n += 1) expect(await ask(url)).toEqual(STALE);
  });

  it('is learned when Prefect comes after the facade, from the first call that it answers', async () => {
    cutOff(true);
    const [listening] = await start({ WEB_CONCURRENCY: '1' }).logged('listening');
    const url = String(listening!['url']);
    // The attempt of the start must fail first: it takes 2 s at most.
    await expect.poll(() => wire.connections).toBeGreaterThan(0);
    expect((await ask(url)).status).toBe(503);
    cutOff(false);
    const host = new Host(url);
    const list = () => host.post('/proxy/deployments/filter', { org_slug: 'acme', deployment_ids: null });
    await expect.poll(async () => (await list()).status, { timeout: 10_000 }).toBe(200);
    await host.close();
    await expect.poll(askedForVersion, { timeout: 10_000 }).toBe(1);
    cutOff(true);
    expect(await ask(url)).toEqual(STALE);
  });
});
