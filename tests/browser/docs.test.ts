import { mkdirSync } from 'node:fs';
import { createServer, request as send, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startMockOrchestrator, type MockOrchestrator } from '../support/mock/index.js';
import { Program, buildProgram } from '../support/program.js';
import { COMPLETED, Seed } from '../support/seed.js';
import { startChromium, watch } from './chromium.js';
import { pixelsOf } from './png.js';

const KEY = 'a-long-key-for-the-browser-test-0123456789';
const NOTIFICATION_KEY = 'the-key-of-the-webhook-0123456789';
const SCREENSHOTS = '.local/screenshots';
const ENV = { WEB_CONCURRENCY: '2', LOG_LEVEL: 'info', SYNC_RUN_START_TIMEOUT: '1' };

/** What a route answers here, where that is not 200. */
const OTHER_STATUS: Record<string, number> = {
  // It raises on purpose.
  raiseError: 500,
  // There is no host to tell.
  replayDelivery: 503,
  recoverDeliveries: 503,
  // No worker starts it.
  runDbt: 503,
  runShell: 503,
};

interface Operation {
  operationId: string;
  method: string;
  path: string;
  summary: string;
}

let browser: Browser;
let mock: MockOrchestrator;
let url: string;
let shutUrl: string;
let operations: Operation[];
let page: Page;
/** What ends all that was started. */
const ends: (() => Promise<void>)[] = [];

beforeAll(async () => {
  browser = await startChromium();
  ends.push(() => browser.close());
  mock = await startMockOrchestrator();
  ends.push(() => mock.close());
  const { file, remove } = await buildProgram();
  ends.push(remove);
  const start = (env: Record<string, string>) =>
    new Program({ file, cwd: tmpdir(), env: { ...ENV, PREFECT_API_URL: mock.url, ...env } });
  const open = start({});
  const shut = start({ PROXY_API_KEY: KEY, PREFECT_NOTIFICATIONS_WEBHOOK_KEY: NOTIFICATION_KEY });
  ends.push(
    () => open.end(),
    () => shut.end(),
  );
  [url, shutUrl] = await Promise.all([open.serves(2), shut.serves(2)]);
  operations = await readOperations();
  mkdirSync(SCREENSHOTS, { recursive: true });
});

afterEach(async () => {
  await page.close();
});

afterAll(async () => {
  for (const end of ends.reverse()) await end();
});

async function readOperations(of: 'paths' | 'webhooks' = 'paths'): Promise<Operation[]> {
  const document = (await (await fetch(`${url}/openapi.json`)).json()) as Record<
    typeof of,
    Record<string, Record<string, { operationId: string; summary: string }>>
  >;
  return Object.entries(document[of]).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ ...operation, method, path })),
  );
}

async function openDocs(address: string, width = 1280, height = 1000) {
  page = await browser.newPage({ viewport: { width, height } });
  const watched = watch(page);
  await page.goto(address);
  await page.locator('.opblock').first().waitFor();
  return watched;
}

const block = ({ operationId }: Pick<Operation, 'operationId'>) =>
  page.locator(`.opblock[id$="-${operationId}"]`);

/** Opens a route, fills its fields, executes it, and closes it. @returns the status that the page shows */
async function tryOut(operation: Operation, values: Record<string, string> = {}): Promise<number> {
  const shown = block(operation);
  await shown.locator('.opblock-summary-control').click();
  await shown.locator('.try-out__btn').waitFor();
  // Who tries it again finds it as it was left.
  if ((await shown.locator('.execute').count()) === 0) await shown.locator('.try-out__btn').click();
  for (const [name, value] of Object.entries(values)) {
    const field = shown.locator(`tr[data-param-name="${name}"] input`);
    if ((await field.count()) > 0) await field.fill(value);
  }
  const text = shown.locator('textarea.body-param__text');
  if ((await text.count()) > 0) await text.fill(withValues(await text.inputValue(), values));
  const replied = page.waitForResponse((reply) => reply.request().resourceType() === 'fetch');
  await shown.locator('.execute').click();
  const status = (await replied).status();
  const cell = shown.locator('.live-responses-table tbody .response-col_status');
  await cell.filter({ hasText: String(status) }).waitFor();
  await shown.locator('.opblock-summary-control').click();
  return status;
}

/** The example of a body, about things that are there. */
function withValues(example: string, values: Record<string, string>): string {
  const { flow_run_id: id = '', run_name: name = '' } = values;
  return example.replace(/("ids": \[\s*")[^"]+/, `$1${id}`).replace('"amber-otter"', `"${name}"`);
}

const ownOrigin = (addresses: string[], own: string) =>
  addresses.filter((address) => !address.startsWith(`${own}/`) && !address.startsWith('data:'));

describe('/docs in Chromium', () => {
  it.each([
    ['desktop', 1280, 1000],
    ['phone', 390, 844],
  ])('shows every route, from here alone, without a complaint: %s', async (name, width, height) => {
    const watched = await openDocs(`${url}/docs`, width, height);
    const png = await page.screenshot({ path: `${SCREENSHOTS}/docs-${name}.png`, animations: 'disabled' });
    expect(await page.title()).toBe('prefect-proxy API');

    const rows = await page.locator('.opblock-summary').allInnerTexts();
    const shown = [...operations, ...(await readOperations('webhooks'))];
    const wanted = shown.map(({ method, path, summary }) => [method.toUpperCase(), path, summary].join(' '));
    const plain = (text: string) =>
      text
        .replaceAll(/[\s\u200b]+/g, ' ')
        .replaceAll(/ (?=\/)/g, ' ')
        .trim();
    expect(rows.map(plain).sort()).toEqual(wanted.sort());

    const { colours, drawn, near } = pixelsOf(png, [
      [73, 204, 144],
      [252, 161, 48],
    ]);
    // Text has many shades at its edges; the badges of POST and PUT have these two.
    expect(colours).toBeGreaterThan(100);
    expect(drawn).toBeGreaterThan(0.05);
    for (const part of near) expect(part).toBeGreaterThan(0.001);

    expect(ownOrigin(watched.requests, url)).toEqual([]);
    expect(watched).toMatchObject({ failed: [], complaints: [] });
  });

  it.each([
    ['desktop', 1280, 1000],
    ['phone', 390, 844],
  ])('is laid out from top to bottom, within the window: %s', async (_name, width, height) => {
    await openDocs(`${url}/docs`, width, height);
    const parts = ['.info .title', '.info .description', '.btn.authorize', '.opblock-tag', '.opblock'];
    const boxes = await Promise.all(parts.map((part) => page.locator(part).first().boundingBox()));
    let bottom = 0;
    for (const [index, box] of boxes.entries()) {
      expect({ part: parts[index], size: [box!.width > 40, box!.height > 15] }).toMatchObject({
        size: [true, true],
      });
      expect(box!.x).toBeGreaterThanOrEqual(0);
      expect(box!.x + box!.width).toBeLessThanOrEqual(width);
      expect(box!.y).toBeGreaterThanOrEqual(bottom - 1);
      bottom = box!.y + box!.height;
    }
    expect(bottom).toBeLessThan(height);
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width);
    for (const clutter of [
      '.topbar',
      '.models',
      '.servers',
      '.response-controls',
      'img[alt="Online validator badge"]',
    ])
      expect(await visible(page.locator(clutter))).toBe(0);
    await block({ operationId: 'setSchedule' }).locator('.opblock-summary-control').click();
    await block({ operationId: 'setSchedule' }).locator('.try-out__btn').click();
    await block({ operationId: 'setSchedule' }).locator('.execute').waitFor();
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width);
  });

  it('tries every route with the key of Authorize', async () => {
    const values = await makeThings();
    const watched = await openDocs(`${shutUrl}/docs`);
    const version = operations.find(({ operationId }) => operationId === 'getPrefectVersion')!;
    expect(await tryOut(version)).toBe(401);
    expect(watched.complaints.splice(0)).toHaveLength(1);
    await authorize({ ApiKeyAsBearer: KEY, NotificationKey: NOTIFICATION_KEY });

    const statuses: Record<string, number> = {};
    for (const operation of inOrder(operations))
      statuses[operation.operationId] = await tryOut(operation, values(operation.operationId));
    await page.screenshot({ path: `${SCREENSHOTS}/docs-tried.png` });
    expect(statuses).toEqual(
      Object.fromEntries(operations.map(({ operationId: id }) => [id, OTHER_STATUS[id] ?? 200])),
    );
    expect(ownOrigin(watched.requests, shutUrl)).toEqual([]);
    expect(watched.failed).toEqual([]);
    // The browser itself notes replies of 4xx and 5xx.
    const noted = /^Failed to load resource: the server responded with a status of (500|503) /;
    expect(watched.complaints.filter((text) => !noted.test(text))).toEqual([]);
    expect(watched.complaints).toHaveLength(Object.keys(OTHER_STATUS).length);
  });

  it('the key may also go as X-API-Key; the page does not keep it', async () => {
    await openDocs(`${shutUrl}/docs`);
    const version = operations.find(({ operationId }) => operationId === 'getPrefectVersion')!;
    await authorize({ ApiKeyAsHeader: KEY });
    expect(await tryOut(version)).toBe(200);
    await page.reload();
    await page.locator('.opblock').first().waitFor();
    expect(await tryOut(version)).toBe(401);
  });

  it.each(['/below/docs', '/below/docs/'])('works behind a proxy that adds a prefix: %s', async (path) => {
    const proxy = await startPrefixProxy('/below', url);
    const address = `http://127.0.0.1:${String((proxy.address() as AddressInfo).port)}`;
    const watched = await openDocs(address + path);
    const version = operations.find(({ operationId }) => operationId === 'getPrefectVersion')!;
    expect(await tryOut(version)).toBe(200);
    // The browser names the origin of what is written.
    expect(await tryOut(operations.find(({ operationId }) => operationId === 'createSecret')!)).toBe(200);
    expect(watched.requests).toContain(`${address}/below/proxy/prefect/version`);
    expect(ownOrigin(watched.requests, `${address}/below`)).toEqual([]);
    expect(watched).toMatchObject({ failed: [], complaints: [] });
    proxy.closeAllConnections();
    proxy.close();
  });
});

async function visible(locator: Locator): Promise<number> {
  const all = await locator.all();
  return (await Promise.all(all.map((one) => one.isVisible()))).filter(Boolean).length;
}

/** Sets keys by the button, each by the name of its scheme. */
async function authorize(keys: Record<string, string>): Promise<void> {
  await page.locator('.btn.authorize').click();
  for (const [scheme, key] of Object.entries(keys)) {
    const part = page.locator('.auth-container').filter({ hasText: scheme });
    await part.locator('input').fill(key);
    await part.locator('button[type="submit"]').click();
    await part.getByRole('button', { name: 'Remove authorization' }).waitFor();
  }
  await page.locator('.close-modal').click();
}

/** What is made first, what is deleted last. */
function inOrder(all: Operation[]): Operation[] {
  const rank = ({ method, operationId }: Operation) =>
    method === 'delete' ? 2 : operationId.startsWith('create') ? 0 : 1;
  return all.toSorted((one, other) => rank(one) - rank(other));
}

/** Puts into the orchestrator what the routes are about. @returns values of the fields of a route */
async function makeThings(): Promise<(operationId: string) => Record<string, string>> {
  const seed = new Seed(mock.url);
  const pool = await seed.pool('default-agent-pool');
  const deployment = await seed.deployment({
    tags: ['acme'],
    work_pool_name: pool,
    work_queue_name: 'default',
  });
  const name = seed.name('run');
  const run = await seed.flowRun({ name, deploymentId: deployment, states: [COMPLETED] });
  await seed.result(run, [{ seq: 1, result: ['hello'] }]);
  const again = await seed.flowRun({
    name: seed.name('again'),
    deploymentId: deployment,
    states: [COMPLETED],
  });
  const queued = await seed.flowRun({ name: seed.name('queued') });
  const others: Record<string, string> = { retryRun: again, cancelQueuedRun: queued };
  const secret = await fetch(`${url}/proxy/blocks/secret/`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ blockName: 'doomed', secret: 'one' }),
  });
  const { block_id: doomed } = (await secret.json()) as { block_id: string };
  return (operationId) => ({
    deployment_id: deployment,
    flow_run_id: others[operationId] ?? run,
    run_name: name,
    block_id: doomed,
  });
}

function startPrefixProxy(prefix: string, target: string): Promise<Server> {
  const server = createServer((incoming, outgoing) => {
    const { method, headers } = incoming;
    if (!incoming.url?.startsWith(`${prefix}/`)) return outgoing.writeHead(404).end();
    const sent = send(target + incoming.url.slice(prefix.length), { method, headers }, (reply) => {
      outgoing.writeHead(reply.statusCode ?? 502, reply.headers);
      reply.pipe(outgoing);
    });
    return incoming.pipe(sent);
  });
  return new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () => {
      resolve(server);
    }),
  );
}
