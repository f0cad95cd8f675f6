import { createHash } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { Client, request } from 'undici';
import { beforeAll, describe, expect, it } from 'vitest';
import { contract } from './support/contract.js';

const c = contract();
let html: string;
beforeAll(async () => {
  html = await (await get('/docs')).body.text();
});

const get = (path: string, headers: Record<string, string> = {}) => request(c.facade.url + path, { headers });
const loaded = (page: string) => [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, address]) => address!);

describe('/docs', () => {
  it('is a page that may load from here only, and holds no script', async () => {
    const { statusCode, headers } = await get('/docs');
    expect(statusCode).toBe(200);
    expect(headers['content-type']).toBe('text/html; charset=utf-8');
    expect(headers['content-security-policy']).toContain("default-src 'self'; script-src 'self';");
    expect(headers['content-security-policy']).toContain("frame-ancestors 'none'");
    expect(html).not.toMatch(/https?:|<script>|\son\w+=/);
  });

  it.each(['/docs', '/docs/'])('%s names its files by where it is, below any prefix', async (path) => {
    const { statusCode, body } = await get(path);
    expect(statusCode).toBe(200);
    const files = loaded(await body.text());
    expect(files).toHaveLength(5);
    for (const file of files) {
      const address = new URL(file, `${c.facade.url}/below${path}`).pathname.replace('/below', '');
      const { statusCode: status, headers, body: bytes } = await get(address);
      await bytes.dump();
      expect({ address, status }).toEqual({ address, status: 200 });
      expect(headers['cache-control']).toBe('public, max-age=31536000, immutable');
      expect(headers['content-type']).toMatch(/^(text\/(css|javascript); charset=utf-8|image\/png)$/);
    }
  });

  it('sends the same file compressed to whoever takes it', async () => {
    const file = `/${loaded(html).find((address) => address.endsWith('bundle.js'))!}`;
    const plain = Buffer.from(await (await get(file)).body.arrayBuffer());
    const zipped = await get(file, { 'accept-encoding': 'gzip, br' });
    expect(zipped.headers).toMatchObject({ 'content-encoding': 'gzip', vary: 'accept-encoding' });
    const bytes = Buffer.from(await zipped.body.arrayBuffer());
    expect(bytes.byteLength).toBeLessThan(plain.byteLength / 2);
    const hash = (buffer: Buffer) => createHash('sha256').update(buffer).digest('hex');
    expect(hash(gunzipSync(bytes))).toBe(hash(plain));
  });

  it('lets nobody keep a file of another version', async () => {
    const { statusCode, headers, body } = await get('/docs/1.0.0/docs.css');
    await body.dump();
    expect({ statusCode, cache: headers['cache-control'] }).toEqual({ statusCode: 200, cache: 'no-cache' });
  });

  it.each([
    '/docs/1/package.json',
    '/docs/1/index.html',
    '/docs/1/..%2fpackage.json',
    '/docs/1/../package.json',
    '/docs/1/%2e%2e/%2e%2e/package.json',
    '/docs/..%2f..%2fpackage.json/docs.js',
    '/docs/1/__proto__',
    '/docs/1/',
    '/docs/swagger-ui.css',
  ])('has no other file: %s', async (path) => {
    // Sends a path as it stands; a URL would be resolved before.
    const client = new Client(c.facade.url);
    const { statusCode, body } = await client.request({ method: 'GET', path });
    expect({ status: statusCode, detail: ((await body.json()) as { detail: string }).detail }).toEqual({
      status: 404,
      detail: 'Not Found',
    });
    await client.close();
  });
});
