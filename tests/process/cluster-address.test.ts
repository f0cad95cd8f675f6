import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'undici';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseBind, removeStaleSocket, urlOf } from '../../src/process/address.js';
import { buildProgram, Program } from '../support/program.js';

describe('--bind', () => {
  it.each([
    ['127.0.0.1:8080', { host: '127.0.0.1', port: 8080 }],
    ['0.0.0.0:80', { host: '0.0.0.0', port: 80 }],
    ['proxy.internal:0', { host: 'proxy.internal', port: 0 }],
    ['[::1]:8080', { host: '::1', port: 8080 }],
    ['unix:/run/proxy.sock', { host: 'unix:/run/proxy.sock' }],
  ])('takes %s', (bind, address) => {
    expect(parseBind(bind)).toEqual(address);
  });

  it.each(['', '8080', ':8080', '127.0.0.1', '127.0.0.1:', '127.0.0.1:65536', '::1:8080', 'unix:', 'a:b'])(
    'refuses %j',
    (bind) => {
      expect(() => parseBind(bind)).toThrow(/host:port.*unix:/);
    },
  );

  it('is a URL for clients', () => {
    expect(urlOf({ host: '127.0.0.1', port: 1 })).toBe('http://127.0.0.1:1');
    expect(urlOf({ host: '::1', port: 1 })).toBe('http://[::1]:1');
    expect(urlOf({ host: 'unix:/a', port: 1 })).toBe('unix:/a');
  });
});

describe('A unix socket', () => {
  let directory: string;
  let path: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'prefect-proxy-'));
    path = join(directory, 'proxy.sock');
  });
  afterEach(() => {
    rmSync(directory, { recursive: true });
  });

  it('that something answers on is left alone', async () => {
    const other = createServer().listen(path);
    await once(other, 'listening');
    await expect(removeStaleSocket(path)).rejects.toThrow(`${path} is in use`);
    expect(existsSync(path)).toBe(true);
    other.close();
    await once(other, 'close');
  });

  it('that is another kind of file is left alone', async () => {
    writeFileSync(path, 'mine');
    await expect(removeStaleSocket(path)).rejects.toThrow('is no socket');
    expect(existsSync(path)).toBe(true);
  });

  it('that is not there is no trouble', async () => {
    await expect(removeStaleSocket(path)).resolves.toBeUndefined();
  });

  describe('of the program', () => {
    let built: Awaited<ReturnType<typeof buildProgram>>;
    beforeAll(async () => {
      built = await buildProgram();
    });
    afterAll(() => built.remove());

    const start = (workers: string) =>
      new Program({
        file: built.file,
        args: ['serve', '--bind', `unix:${path}`, '--workers', workers],
        cwd: directory,
        env: { PREFECT_API_URL: 'http://127.0.0.1:1/api' },
      });
    const health = async () => {
      const client = new Client('http://localhost', { socketPath: path });
      const { statusCode, body } = await client.request({ method: 'GET', path: '/healthz' });
      await body.dump();
      await client.close();
      return statusCode;
    };

    it.each(['1', '2'])('is served, and taken over from a killed one (--workers %s)', async (workers) => {
      const killed = start(workers);
      expect((await killed.logged('listening'))[0]).toMatchObject({ url: `unix:${path}` });
      expect(await health()).toBe(200);
      killed.signal('SIGKILL');
      await killed.closed;
      expect(existsSync(path)).toBe(true);

      const next = start(workers);
      await next.logged('listening');
      expect(await health()).toBe(200);

      const third = start(workers);
      expect(await third.closed).toEqual([1, null]);
      expect(third.complaints).toContain('is in use');
      expect(await health()).toBe(200);

      next.signal('SIGTERM');
      expect(await next.closed).toEqual([0, null]);
      expect(existsSync(path)).toBe(false);
    });
  });
});
