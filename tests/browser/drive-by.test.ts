import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Host } from '../support/host.js';
import { startMockOrchestrator, type MockOrchestrator } from '../support/mock/index.js';
import { Program, buildProgram } from '../support/program.js';
import { Seed } from '../support/seed.js';
import { startChromium } from './chromium.js';

const KEY = 'a-long-key-for-the-browser-test-0123456789';
/** Names of web sites. All of them lead here, as one that was rebound does. */
const NAMES = 'MAP evil.test 127.0.0.1, MAP ui.test 127.0.0.1';
const ATTACKER = readFileSync(new URL('attacker.html', import.meta.url), 'utf8');

let browser: Browser;
let page: Page;
let mock: MockOrchestrator;
/** Without a key, as `npm start` runs it. */
let open: Program;
let openPort: string;
/** With a key, and with the pages of ui.test allowed. */
let keyedUrl: string;
let sitePort: number;
let run: string;
/** What ends all that was started. */
const ends: (() => unknown)[] = [];

beforeAll(async () => {
  browser = await startChromium([
    `--host-resolver-rules=${NAMES}`,
    // What newer versions keep from pages by themselves is not what is shown here.
    '--disable-features=LocalNetworkAccessChecks',
  ]);
  ends.push(() => browser.close());
  mock = await startMockOrchestrator();
  ends.push(() => mock.close());
  sitePort = await startSite();
  const { file, remove } = await buildProgram();
  ends.push(remove);
  const start = async (env: Record<string, string>) => {
    const orchestrator = { WEB_CONCURRENCY: '1', PREFECT_API_URL: mock.url };
    const program = new Program({ file, cwd: tmpdir(), env: { ...orchestrator, ...env } });
    ends.push(() => program.end());
    const [listening] = await program.logged('listening');
    return { program, url: String(listening!['url']) };
  };
  const { program, url } = await start({});
  open = program;
  openPort = new URL(url).port;
  const allowed = `http://ui.test:${sitePort}`;
  keyedUrl = (await start({ PROXY_API_KEY: KEY, PROXY_ALLOWED_ORIGINS: allowed })).url;
  const host = new Host(url);
  ends.push(() => host.close());
  await host.post('/proxy/blocks/secret/', { blockName: 'x', secret: 'canary' });
  run = await new Seed(mock.url).flowRun();
});
beforeEach(async () => {
  page = await browser.newPage();
  open.lines.length = 0;
  mock.calls.length = 0;
});
afterEach(() => page.close());
afterAll(async () => {
  for (const end of ends.reverse()) await end();
});

/** Serves a web site that has nothing to do with us. @returns its port */
async function startSite(): Promise<number> {
  const site = createServer((_request, reply) => {
    reply.writeHead(200, { 'content-type': 'text/html' }).end(ATTACKER);
  });
  site.listen(0, '127.0.0.1');
  await once(site, 'listening');
  ends.push(() => {
    site.close();
    site.closeAllConnections();
  });
  return (site.address() as AddressInfo).port;
}

const visit = (name: string) => page.goto(`http://${name}:${sitePort}/`);
/** Calls a function of the page. */
const call = (name: string, ...given: string[]) =>
  page.evaluate(`${name}(${given.map((one) => JSON.stringify(one)).join()})`);

/** Of all that a page tries one request comes here, if only the one that asks for permission. */
const ATTEMPTS = 21;

describe('A page of another origin in Chromium', () => {
  it.each([
    ['evil.test', '127.0.0.1'],
    ['evil.test', 'localhost'],
    ['127.0.0.1', '127.0.0.1'],
    ['localhost', 'localhost'],
    ['localhost', '127.0.0.1'],
  ])('on %s reaches nothing and reads nothing at %s', async (site, facade) => {
    await visit(site);
    expect(await call('attack', `http://${facade}:${openPort}`, run)).toEqual({});
    const lines = await open.logged('request', ATTEMPTS);
    expect(lines.map(({ status, code }) => [status, code])).toEqual(
      Array.from({ length: ATTEMPTS }, () => [403, 'cross_origin']),
    );
    expect(mock.calls).toEqual([]);
  });

  it('in a sandbox reaches nothing', async () => {
    await visit('evil.test');
    expect(await call('attackFromSandbox', `http://127.0.0.1:${openPort}`)).toBe('sent');
    expect(await open.logged('request')).toMatchObject([{ status: 403 }]);
    expect(mock.calls).toEqual([]);
  });

  it('whose name was rebound to this machine reaches nothing', async () => {
    const url = `http://evil.test:${openPort}/`;
    // Its own server has answered before the name led here.
    await page.route(url, (route) => route.fulfill({ contentType: 'text/html', body: ATTACKER }));
    await page.goto(url);
    for (const answer of (await call('askOwnOrigin')) as string[])
      expect(answer).toMatch(/^421 .*"code":"unknown_host"/);
    expect(mock.calls).toEqual([]);
  });
});

describe('The page /docs in Chromium', () => {
  it('opens by a link on another site, and works', async () => {
    await visit('evil.test');
    await call('addLink', `http://127.0.0.1:${openPort}/docs`);
    await page.getByText('the documentation').click();
    const shown = page.locator('.opblock[id$="-getPrefectVersion"]');
    await shown.locator('.opblock-summary-control').click();
    await shown.locator('.try-out__btn').click();
    await shown.locator('.execute').click();
    await shown.locator('.live-responses-table .response-col_status').filter({ hasText: '200' }).waitFor();
    expect(mock.calls).toHaveLength(1);
  });

  it('does not open in a frame of another site', async () => {
    await visit('evil.test');
    const framed = page.waitForResponse((reply) => reply.url().endsWith('/docs'));
    await call('addFrame', `http://127.0.0.1:${openPort}/docs`);
    expect((await framed).status()).toBe(403);
  });
});

describe('A page of an origin in PROXY_ALLOWED_ORIGINS in Chromium', () => {
  it('calls with its key and reads the replies, errors as well', async () => {
    await visit('ui.test');
    expect(await call('work', keyedUrl, KEY)).toEqual([
      [200, true, undefined],
      [200, true, undefined],
      [404, true, 'no secret block named nothing'],
      [401, true, 'unauthorized'],
    ]);
  });

  it('is the only one: a page of another site fails though it has the key', async () => {
    await visit('evil.test');
    await expect(call('work', keyedUrl, KEY)).rejects.toThrow('Failed to fetch');
    expect(mock.calls).toEqual([]);
  });
});
