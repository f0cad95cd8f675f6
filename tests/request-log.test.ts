import { randomUUID } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:net';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createLogger } from '../src/logger.js';
import { ROUTES, makeGood, send, type Good } from './support/all-routes.js';
import { contract } from './support/contract.js';

const c = contract({ PREFECT_API_RETRY: 'false' });
let good: Good;
beforeAll(async () => {
  good = await makeGood(c.host, c.seed);
});
beforeEach(() => {
  c.mock!.reset();
  c.facade.lines.length = 0;
});

/** The reply may be there a moment before its line is. */
async function lineOf(id: string) {
  await expect.poll(() => c.facade.lines.filter((line) => line['request_id'] === id).length).toBe(1);
  return c.facade.lines.find((line) => line['request_id'] === id)!;
}

describe('The line of a request', () => {
  it.each(ROUTES)('$id: everything in it, and one line', async (route) => {
    const headers = {
      'x-ddp-org': 'acme',
      'x-request-id': `log-${route.id}`,
      'content-type': 'application/json',
    };
    const reply = await send(c.host, route, good, { headers });
    expect(reply.status).toBe(200);
    expect(await lineOf(`log-${route.id}`)).toEqual({
      level: 'info',
      message: 'request',
      method: route.method,
      route: route.pattern,
      status: 200,
      ms: expect.any(Number) as number,
      upstream_calls: c.mock!.calls.length,
      upstream_ms: expect.any(Number) as number,
      org: 'acme',
      request_id: `log-${route.id}`,
    });
    expect(c.facade.lines).toHaveLength(1);
  });

  it.each([
    ['an unknown route', '/nope', 404, 'info', {}],
    ['a wrong request', '/proxy/flow_runs', 422, 'info', { upstream_calls: 0 }],
    ['a bug', '/sentry-debug', 500, 'error', { cause: 'Error' }],
    [
      'an outage',
      '/proxy/blocks/secret/none',
      503,
      'error',
      { upstream_failure: 'status', upstream_status: 503 },
    ],
  ] as const)('%s', async (_what, path, status, level, more) => {
    c.mock!.fault(() => ({ status: 503, body: '{"detail":"quoted"}' }));
    await c.host.get(path, { headers: { 'x-request-id': 'one' } });
    expect(await lineOf('one')).toMatchObject({ level, status, method: 'GET', ...more });
    expect(JSON.stringify(c.facade.lines)).not.toContain('quoted');
  });

  it('has no org where none is given', async () => {
    await c.host.get('/proxy/prefect/version', { headers: { 'x-request-id': 'none' } });
    expect((await lineOf('none'))['org']).toBeUndefined();
  });

  it('a long or odd org is cut and stays one value', async () => {
    const org = `x"}{,${'y'.repeat(500)}`;
    await c.host.get('/proxy/prefect/version', { headers: { 'x-ddp-org': org, 'x-request-id': 'long' } });
    const logged = String((await lineOf('long'))['org']);
    expect(org.startsWith(logged)).toBe(true);
    expect(logged.length).toBeLessThanOrEqual(128);
  });

  it.each([
    ['é'.repeat(300), 'é'.repeat(128)],
    [`${'y'.repeat(127)}😀😀`, `${'y'.repeat(127)}😀`],
    ['नगर-पालिका', 'नगर-पालिका'],
  ])('an org of UTF-8 is logged as it was written, cut between two characters: %s', async (org, logged) => {
    // Over a socket: the HTTP client takes no header beyond latin1.
    const id = randomUUID();
    await raw(
      `GET /proxy/prefect/version HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-request-id: ${id}\r\n` +
        `x-ddp-org: ${org}\r\n\r\n`,
    );
    expect((await lineOf(id))['org']).toBe(logged);
  });

  it('an org that is no UTF-8 is logged as latin1', async () => {
    await c.host.get('/proxy/prefect/version', {
      headers: { 'x-ddp-org': 'caf\u00e9', 'x-request-id': 'latin1' },
    });
    expect((await lineOf('latin1'))['org']).toBe('café');
  });

  it('headers cannot write a line of their own', async () => {
    for (const value of [
      'a\r\n{"message":"forged"}',
      'a\n{"message":"forged"}',
      'a\u000bforged',
      'a\u001b[31mforged',
    ]) {
      await raw(
        `GET /proxy/prefect/version HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-ddp-org: ${value}\r\n\r\n`,
      );
    }
    for (const line of c.facade.lines) {
      expect(line.message).toMatch(/^(request|connection refused)$/);
      // No control character comes through, which a terminal would act on.
      expect(String(line['org'] ?? '')).not.toMatch(/[\u0000-\u001f]/);
    }
  });

  /** Sends bytes as they are; resolves when the connection ends. */
  function raw(text: string): Promise<void> {
    return new Promise((resolve) => {
      const socket = connect(Number(new URL(c.facade.url).port), '127.0.0.1', () => socket.write(text));
      socket.resume().once('close', () => {
        resolve();
      });
    });
  }
});

describe('LOGDIR', () => {
  let directory = '';
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'prefect-proxy-'));
  });
  afterEach(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  const options = { level: 'info', readable: false };

  it('is made, with all that is above it', async () => {
    const logger = createLogger({ ...options, directory: join(directory, 'a', 'b') });
    await logger.close();
    expect(readdirSync(join(directory, 'a', 'b'))).toEqual(['prefect-proxy.log']);
  });

  it('has one JSON line an event, whatever is in it', async () => {
    const logger = createLogger({ ...options, level: 'error', directory });
    logger.error('one', { org: 'a\n{"forged":1}', request_id: '\u2028', status: 1 });
    logger.info('not at this level');
    logger.error('two');
    await logger.close();
    const lines = readFileSync(join(directory, 'prefect-proxy.log'), 'utf8').trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { level: 'error', message: 'one', org: 'a\n{"forged":1}' },
      { level: 'error', message: 'two' },
    ]);
  });

  it('begins a new file when one is full', async () => {
    writeFileSync(join(directory, 'prefect-proxy.log'), 'old\n');
    truncateSync(join(directory, 'prefect-proxy.log'), 21 * 1024 * 1024);
    const logger = createLogger({ ...options, level: 'error', directory });
    logger.error('new');
    await expect
      .poll(() => readdirSync(directory).sort())
      .toEqual(['prefect-proxy.log', 'prefect-proxy1.log']);
    await logger.close();
  });

  it('that is no directory stops with a message that says where', () => {
    const file = join(directory, 'file');
    writeFileSync(file, '');
    expect(() => createLogger({ ...options, directory: join(file, 'logs') })).toThrow(file);
    expect(() => createLogger({ ...options, directory: file })).toThrow(file);
  });

  it('whose file cannot be written stops with a message that says where', () => {
    // Nobody can write to a directory, root included.
    mkdirSync(join(directory, 'prefect-proxy.log'));
    expect(() => createLogger({ ...options, directory })).toThrow(directory);
  });
});
