import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { startOf } from '../../src/process/local/processes.js';
import { tempDir } from '../process/fixtures.js';
import { startMockOrchestrator } from '../support/mock/index.js';
import { buildProgram } from '../support/program.js';
import { startReceiver } from '../support/receiver.js';

let program: { file: string; remove: () => Promise<void> };
beforeAll(async () => {
  program = await buildProgram();
});
afterAll(() => program.remove());

/** A folder with the program in it, as a checkout that is built. */
function checkout(): string {
  const root = tempDir();
  cpSync(dirname(program.file), join(root, 'dist'), { recursive: true });
  symlinkSync(fileURLToPath(new URL('../../node_modules', import.meta.url)), join(root, 'node_modules'));
  return root;
}

/** What `npm start` in that folder leaves in its state file; this process stands for the facade. */
function recordStack(root: string, running: object): void {
  mkdirSync(join(root, '.local'));
  const facade = { pid: process.pid, started: startOf(process.pid) };
  writeFileSync(join(root, '.local', 'run.json'), JSON.stringify({ facade, ...running }));
}

async function run(root: string, command: string, env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [join(root, 'dist', 'main.js'), ...command.split(' ')], {
    cwd: root,
    env: { PATH: process.env['PATH'], PREFECT_API_RETRY: 'false', ...env },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (part: Buffer) => (output += part.toString()));
  const [code] = (await once(child, 'close')) as [number];
  return { code, output };
}

/** Something else on a port that a command could guess. */
async function startStranger() {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(`${request.method ?? ''} ${request.url ?? ''}`);
    response.writeHead(200, { 'content-type': 'application/json' }).end('[]');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
  });
  return { requests, port: String((server.address() as AddressInfo).port) };
}

const RUN = '0d65de6d-ae26-4dc7-9aee-998e7f86ed27';
const AT_PREFECT = [
  'webhook status',
  'webhook register',
  'webhook test',
  'webhook unregister',
  'flows deploy',
];
const AT_FACADE = ['deliveries list', `deliveries replay ${RUN}`, 'deliveries recover --since 2h', 'demo'];

describe('A command without PREFECT_API_URL', () => {
  it.each([...AT_PREFECT, ...AT_FACADE])(
    '%s refuses if no local stack runs here, and sends no request',
    async (command) => {
      const [prefect, facade] = [await startStranger(), await startStranger()];
      const { code, output } = await run(checkout(), command, {
        PREFECT_SERVER_PORT: prefect.port,
        PREFECT_PROXY_API_PORT: facade.port,
        PREFECT_NOTIFICATIONS_WEBHOOK_KEY: 'a-key',
      });
      expect(output).toMatch(/^PREFECT_API_URL is not set, and npm start does not run in this folder/);
      expect(output).toContain(AT_FACADE.includes(command) ? '--url' : 'set PREFECT_API_URL');
      expect([code, prefect.requests, facade.requests]).toEqual([1, [], []]);
    },
  );

  it.each(['webhook status', 'deliveries list', 'demo'])(
    '%s says so while the stack of this folder is still starting',
    async (command) => {
      const root = checkout();
      recordStack(root, {});
      const { code, output } = await run(root, command);
      expect([code, output]).toEqual([1, 'npm start is still starting in this folder: try again\n']);
    },
  );

  it('registers, shows and removes the webhook of the stack of this folder, with the key that its facade accepts', async () => {
    const mock = await startMockOrchestrator();
    onTestFinished(() => mock.close());
    const facade = await startReceiver();
    onTestFinished(() => facade.close());
    const root = checkout();
    recordStack(root, { url: facade.url, apiUrl: mock.url, webhookKey: 'the-key-of-this-start' });
    const registered = await run(root, 'webhook register');
    expect(registered.output).toContain(`${facade.url}/webhooks/v1/notification/`);
    expect(await run(root, 'webhook status')).toMatchObject({
      code: 0,
      output: expect.stringContaining('✓ registered, switched on, reachable from here') as string,
    });
    expect(facade.received.at(-1)?.key).toBe('the-key-of-this-start');
    expect((await run(root, 'webhook unregister')).code).toBe(0);
    expect((await run(root, 'webhook status')).output).toContain('no webhook is registered');
  });

  it('asks the facade of this folder for deliveries', async () => {
    const facade = await startStranger();
    const root = checkout();
    const url = `http://127.0.0.1:${facade.port}`;
    recordStack(root, { url, apiUrl: 'http://127.0.0.1:1/api', webhookKey: 'key' });
    await run(root, 'deliveries list');
    expect(facade.requests).toEqual([expect.stringMatching(/^GET \/proxy\/v1\/deliveries\?/)]);
  });
});

describe('A command with PREFECT_API_URL', () => {
  it('leaves the local stack of this folder alone', async () => {
    const [local, other, facade] = [await startStranger(), await startStranger(), await startStranger()];
    const root = checkout();
    const localUrl = `http://127.0.0.1:${local.port}`;
    recordStack(root, { url: localUrl, apiUrl: `${localUrl}/api`, webhookKey: 'key' });
    const env = {
      PREFECT_API_URL: `http://127.0.0.1:${other.port}/api`,
      PREFECT_PROXY_API_PORT: facade.port,
    };
    await run(root, 'webhook unregister', env);
    await run(root, 'deliveries list', env);
    expect(other.requests.length).toBeGreaterThan(0);
    expect(facade.requests).toHaveLength(1);
    expect(local.requests).toEqual([]);
  });
});
