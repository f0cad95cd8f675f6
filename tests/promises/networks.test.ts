import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { loadConfig } from '../../src/config.js';
import { eventsConnection, hostNetwork } from '../../src/create-client.js';
import { HostWebhook } from '../../src/host/webhook.js';
import { EventStream } from '../../src/prefect/event-stream.js';
import { tempDir } from '../process/fixtures.js';
import { startBasicFront } from '../support/basic-front.js';
import { startFacade } from '../support/facade.js';
import { startForwardProxy } from '../support/forward-proxy.js';
import { Host } from '../support/host.js';
import { startMockOrchestrator } from '../support/mock/index.js';
import { makeAuthority, startTlsFront } from '../support/tls-front.js';

const PASSWORD = 'cAnArY/p@ss';
const ENCODED = encodeURIComponent(PASSWORD);

async function mockServer(options: Parameters<typeof startMockOrchestrator>[0] = {}) {
  const mock = await startMockOrchestrator(options);
  onTestFinished(() => mock.close());
  return { mock, port: Number(new URL(mock.url).port) };
}

/** Asks a facade for Prefect's version and for readiness. */
async function ask(apiUrl: string, env: Record<string, string> = {}) {
  const facade = await startFacade(apiUrl, { PREFECT_API_RETRY: 'false', ...env });
  const host = new Host(facade.url);
  const version = await host.get('/proxy/prefect/version');
  const ready = await host.get('/readyz');
  await host.close();
  await facade.close();
  const seen = JSON.stringify([version.text, ready.text, facade.lines]);
  return { status: version.status, ready: ready.text, lines: facade.lines, seen };
}

/** What the events websocket of a configuration comes to at first: `connected`, or why not. */
async function firstWord(apiUrl: string, env: Record<string, string> = {}): Promise<string> {
  const config = loadConfig({ PREFECT_API_URL: apiUrl, ...env });
  let stream: EventStream | undefined;
  const reason = await new Promise<string>((resolve) => {
    stream = new EventStream({
      ...eventsConnection(config, config.PREFECT_API_URL ?? ''),
      onEnded: () => undefined,
      onChange: (_isOpen, why) => {
        resolve(why);
      },
    });
    stream.open();
  });
  stream?.close();
  return reason;
}

/** A host's receiver, and one delivery to it. */
async function startHost() {
  const headers: Record<string, unknown>[] = [];
  const server = createServer((request, response) => {
    headers.push(request.headers);
    response.end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { headers, port: (server.address() as AddressInfo).port };
}

async function deliver(url: string, env: Record<string, string> = {}): Promise<string | undefined> {
  const config = loadConfig({ HOST_WEBHOOK_URL: url, ...env });
  const hostUrl = config.HOST_WEBHOOK_URL ?? '';
  const webhook = new HostWebhook({
    url: hostUrl,
    authorization: config.hostAuthorization,
    network: hostNetwork(config, hostUrl),
    timeoutSeconds: 5,
    concurrency: 1,
  });
  const outcome = await webhook.deliver({ id: 'run:state', body: '{}' });
  await webhook.close();
  return outcome?.last;
}

describe('A login in the URL', () => {
  it('is sent as Basic to Prefect, by REST and by the websocket, and shows nowhere', async () => {
    const { mock } = await mockServer({ authString: `ad min:${PASSWORD}` });
    const url = mock.url.replace('//', `//ad%20min:${ENCODED}@`);
    const { status, seen } = await ask(url);
    expect(status).toBe(200);
    expect(await firstWord(url)).toBe('connected');
    const wrong = await ask(url.replace('ad%20min', 'other'));
    expect(wrong.status).toBe(502);
    for (const text of [
      seen,
      wrong.seen,
      JSON.stringify(loadConfig({ PREFECT_API_URL: url }).PREFECT_API_URL),
    ])
      expect(text).not.toMatch(/cAnArY|Y0FuQXJZ/);
  });

  it('is sent as Basic to the host', async () => {
    const host = await startHost();
    expect(await deliver(`http://user:${ENCODED}@127.0.0.1:${host.port}/hook`)).toBe('200');
    const login = Buffer.from(`user:${PASSWORD}`).toString('base64');
    expect(host.headers[0]).toMatchObject({ authorization: `Basic ${login}` });
  });
});

describe('A reverse proxy that asks for Basic', () => {
  it('lets REST and the events websocket through, with the custom headers', async () => {
    const { mock } = await mockServer({ authString: 'user:right' });
    const front = await startBasicFront(mock.url, 'user:right');
    onTestFinished(() => front.close());
    const env = { PREFECT_CLIENT_CUSTOM_HEADERS: '{"CF-Access-Client-Id":"the-id","Host":"elsewhere"}' };
    expect((await ask(front.url, { ...env, PREFECT_API_AUTH_STRING: 'user:right' })).status).toBe(200);
    expect(mock.calls[0]?.headers).toMatchObject({ 'cf-access-client-id': 'the-id' });
    expect(await firstWord(front.url, { ...env, PREFECT_API_AUTH_STRING: 'user:right' })).toBe('connected');
    expect(front.handshakes[0]).toMatchObject({ 'cf-access-client-id': 'the-id' });
    expect(await firstWord(front.url)).toBe('closed');
  });
});

describe('A private certificate authority', () => {
  const folder = mkdtempSync(join(tmpdir(), 'prefect-proxy-ca-'));
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });
  const authority = makeAuthority(folder);

  it.each([
    ['of an authority that is not trusted', '127.0.0.1', 30, {}, /UNABLE_TO_VERIFY_LEAF_SIGNATURE/],
    ['with another name', '127.0.0.2', 30, { SSL_CERT_FILE: authority.file }, /ERR_TLS_CERT_ALTNAME_INVALID/],
  ])(
    'a certificate %s is named: in /readyz, in the log, for the websocket, for the host',
    async (_w, name, days, env, code) => {
      const { port } = await mockServer();
      const front = await startTlsFront(port, authority.issue(name, days));
      onTestFinished(() => {
        front.close();
      });
      const url = `https://127.0.0.1:${front.port}`;
      const { ready, lines, status } = await ask(`${url}/api`, env);
      expect(status).toBe(503);
      expect(ready).toMatch(code);
      expect(String(lines.find(({ message }) => message === 'request')?.['upstream_code'])).toMatch(code);
      expect(await firstWord(`${url}/api`, env)).toMatch(code);
      expect(await deliver(url, env)).toMatch(code);
    },
  );

  it.each(['SSL_CERT_FILE', 'PREFECT_API_SSL_CERT_FILE'])(
    '%s makes it trusted everywhere',
    async (variable) => {
      const { port } = await mockServer();
      const front = await startTlsFront(port, authority.issue('127.0.0.1'));
      onTestFinished(() => {
        front.close();
      });
      const env = { [variable]: authority.file };
      const url = `https://127.0.0.1:${front.port}`;
      expect((await ask(`${url}/api`, env)).status).toBe(200);
      expect(await firstWord(`${url}/api`, env)).toBe('connected');
      // The mock knows no such route: that it answers is enough.
      expect(await deliver(`${url}/health`, env)).toMatch(/^\d{3}$/);
    },
  );

  it("Prefect's switch takes any certificate of Prefect, and none of the host", async () => {
    const { port } = await mockServer();
    const front = await startTlsFront(port, authority.issue('127.0.0.1'));
    onTestFinished(() => {
      front.close();
    });
    const url = `https://127.0.0.1:${front.port}`;
    const env = { PREFECT_API_TLS_INSECURE_SKIP_VERIFY: 'true' };
    expect((await ask(`${url}/api`, env)).status).toBe(200);
    expect(await firstWord(`${url}/api`, env)).toBe('connected');
    expect(await deliver(url, env)).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
    expect(await deliver(url, { HOST_WEBHOOK_TLS_INSECURE_SKIP_VERIFY: 'true' })).toMatch(/^\d{3}$/);
  });
});

describe('A proxy of the network', () => {
  async function proxied(login?: string) {
    const { port } = await mockServer();
    const host = await startHost();
    const proxy = await startForwardProxy({ 'prefect.test': port, 'host.test': host.port }, login);
    onTestFinished(() => proxy.close());
    return { proxy, host };
  }

  it('carries REST, websocket and the news for the host, with its login', async () => {
    const { proxy } = await proxied(`user:${PASSWORD}`);
    const env = { http_proxy: proxy.url.replace('//', `//user:${ENCODED}@`) };
    const { status, seen } = await ask('http://prefect.test/api', env);
    expect([status, seen.includes('cAnArY')]).toEqual([200, false]);
    expect(await firstWord('http://prefect.test/api', env)).toBe('connected');
    expect(await deliver('http://host.test/hook', env)).toBe('200');
    expect(proxy.requests).toContain('GET http://prefect.test/api/admin/version');
    expect(proxy.requests).toContain('CONNECT prefect.test:80');
    expect(proxy.requests).toContain('POST http://host.test/hook');
  });

  it('that refuses our login is named', async () => {
    const { proxy } = await proxied('user:right');
    const env = { HTTP_PROXY: proxy.url };
    expect((await ask('http://prefect.test/api', env)).ready).toContain('407');
    expect(await firstWord('http://prefect.test/api', env)).toBe('PROXY_407');
    expect(await deliver('http://host.test/', env)).toBe('407');
  });

  it('tunnels https, whose certificate is checked end to end', async () => {
    const folder = tempDir();
    const authority = makeAuthority(folder);
    const { port } = await mockServer();
    const front = await startTlsFront(port, authority.issue('prefect.test'));
    const proxy = await startForwardProxy({ 'prefect.test': front.port });
    onTestFinished(async () => {
      front.close();
      await proxy.close();
    });
    const env = { HTTPS_PROXY: proxy.url, SSL_CERT_FILE: authority.file };
    expect((await ask('https://prefect.test/api', env)).status).toBe(200);
    expect(await firstWord('https://prefect.test/api', env)).toBe('connected');
    expect(new Set(proxy.requests)).toEqual(new Set(['CONNECT prefect.test:443']));
    expect((await ask('https://prefect.test/api', { HTTPS_PROXY: proxy.url })).ready).toContain(
      'UNABLE_TO_VERIFY',
    );
  });

  it('is left out for loopback and for what NO_PROXY names', async () => {
    const { mock } = await mockServer();
    const { proxy } = await proxied();
    expect((await ask(mock.url, { HTTP_PROXY: proxy.url })).status).toBe(200);
    await ask('http://prefect.test/api', {
      HTTP_PROXY: proxy.url,
      NO_PROXY: '.test',
      PREFECT_API_TIMEOUT: '1',
    });
    expect(proxy.requests).toEqual([]);
  });
});

describe('Configuration of networks', () => {
  const problems = (env: Record<string, string>) => {
    try {
      loadConfig(env);
      return '';
    } catch (error) {
      return String(error);
    }
  };
  const PREFECT_API_URL = 'https://user:cAnArY@prefect.test/api';

  it.each([
    [{ PREFECT_API_URL, PREFECT_API_KEY: 'k' }, /PREFECT_API_URL/],
    [{ PREFECT_API_URL, PREFECT_API_AUTH_STRING: 'a:b' }, /PREFECT_API_URL/],
    [{ PREFECT_API_KEY: 'k', PREFECT_CLIENT_CUSTOM_HEADERS: '{"Authorization":"cAnArY"}' }, /CUSTOM_HEADERS/],
    [{ PREFECT_CLIENT_CUSTOM_HEADERS: '{"X":1}' }, /CUSTOM_HEADERS/],
    [{ PREFECT_CLIENT_CUSTOM_HEADERS: '{"X":"cAnArY\\n"}' }, /CUSTOM_HEADERS/],
    [{ PREFECT_CLIENT_CUSTOM_HEADERS: 'cAnArY' }, /CUSTOM_HEADERS/],
    [{ SSL_CERT_FILE: '/no/such/cAnArY' }, /SSL_CERT_FILE: the file cannot be read/],
    [
      { PREFECT_API_SSL_CERT_FILE: import.meta.filename },
      /PREFECT_API_SSL_CERT_FILE: must be a file of cert/,
    ],
    [{ PREFECT_API_URL: 'http://prefect.test/api', ALL_PROXY: 'socks5://cAnArY' }, /ALL_PROXY/],
    [{ HOST_WEBHOOK_SECRET: 'A'.repeat(33) }, /HOST_WEBHOOK_SECRET/],
    [{ HOST_WEBHOOK_SECRET: Buffer.alloc(23).toString('base64') }, /HOST_WEBHOOK_SECRET/],
    [{ HOST_WEBHOOK_SECRET: Buffer.alloc(65).toString('base64') }, /HOST_WEBHOOK_SECRET/],
  ])('refuses %o', (env, message) => {
    const text = problems(env);
    expect(text).toMatch(message);
    expect(text).not.toContain('cAnArY');
  });

  it.each([
    { ALL_PROXY: 'socks5://127.0.0.1:9' },
    { HOST_WEBHOOK_SECRET: `whsec_${Buffer.alloc(24).toString('base64')}` },
    { HOST_WEBHOOK_SECRET: Buffer.alloc(64).toString('base64') },
  ])('takes %o', (env) => {
    expect(problems({ PREFECT_API_URL: 'http://127.0.0.1:4200/api', ...env })).toBe('');
  });
});
