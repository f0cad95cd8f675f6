import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ERROR_STATUS } from '../src/errors.js';
import { contract } from './support/contract.js';
import { startFacade, type Facade } from './support/facade.js';
import { RawClient, repliesIn, type RawReply } from './support/raw-client.js';

const c = contract({ PREFECT_API_RETRY: 'false' });

const GET = 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n';
const POST = 'POST /proxy/flow_run/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n';
const CHUNKED = `${POST}Transfer-Encoding: chunked\r\n\r\n`;
/** What a smuggler hopes to have taken for a request of its own. */
const SECOND = GET + '\r\n';

/** Sends something; the connection must be closed by the facade. */
const closedAfter = async (text: string) => repliesIn(await new RawClient(c.facade.url).send(text).closed);

/** One reply, an error of our shape, and no word more. */
function expectRefusal(replies: RawReply[], status: number): void {
  expect(replies.map((reply) => reply.status)).toEqual([status]);
  const { headers, json } = replies[0]!;
  expect(headers).toMatchObject({ 'content-type': 'application/json', connection: 'close' });
  const { detail, code, request_id: id, ...rest } = json as Record<string, unknown>;
  expect(detail).toEqual(expect.stringMatching(/^[A-Z]/));
  expect(ERROR_STATUS[code as keyof typeof ERROR_STATUS]).toBe(status);
  expect(id).toBe(headers['x-request-id']);
  expect(rest).toEqual({});
}

describe('What could be taken for two requests is a 400, and the connection closed', () => {
  it.each([
    ['a length and chunks', `${POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['chunks and a length', `${POST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`],
    ['two lengths', `${POST}Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}`],
    ['a list of lengths', `${POST}Content-Length: 2, 2\r\n\r\n{}`],
    ['a length with a sign', `${POST}Content-Length: +2\r\n\r\n{}`],
    ['a length below 0', `${POST}Content-Length: -1\r\n\r\n{}`],
    ['a hexadecimal length', `${POST}Content-Length: 0x2\r\n\r\n{}`],
    ['a length beyond 64 bits', `${POST}Content-Length: 99999999999999999999\r\n\r\n{}`],
    ['chunked twice', `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['another coding', `${POST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`],
    ['chunks that are not the last coding', `${POST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`],
    ['a space before the colon', `${POST}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`],
    ['a vertical tab', `${POST}Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n`],
    ['a folded coding', `${POST}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`],
    ['a folded header', `${GET}X: a\r\n b\r\n\r\n`],
    ['a chunk size that is no number', `${CHUNKED}zz\r\n{}\r\n0\r\n\r\n`],
    ['a chunk size below 0', `${CHUNKED}-1\r\n{}\r\n0\r\n\r\n`],
    ['a chunk size beyond 64 bits', `${CHUNKED}fffffffffffffffff\r\n{}\r\n0\r\n\r\n`],
    ['a chunk that is longer than its size', `${CHUNKED}2\r\n{}xx\r\n0\r\n\r\n`],
    ['a bare LF after a chunk size', `${CHUNKED}2\n{}\r\n0\r\n\r\n`],
    ['a bare LF after a chunk extension', `${CHUNKED}2;x\n{}\r\n0\r\n\r\n`],
    ['bare LFs', 'GET /healthz HTTP/1.1\nHost: a\n\n'],
    ['a bare LF after a header', 'GET /healthz HTTP/1.1\r\nHost: a\nX: y\r\n\r\n'],
    ['a bare CR in a header', `${GET}X: a\rY: b\r\n\r\n`],
    ['a NUL in a header', `${GET}X: a\0b\r\n\r\n`],
    ['a header without a colon', `${GET}X\r\n\r\n`],
    ['no Host', 'GET /healthz HTTP/1.1\r\n\r\n'],
    ['two Hosts', `${GET}hOST: b\r\n\r\n`],
    ['a Host that is none', 'GET /healthz HTTP/1.1\r\nHost: a/b@c\r\n\r\n'],
    ['an absolute target without a host', 'GET http:// HTTP/1.1\r\nHost: localhost\r\n\r\n'],
    ['a target of another protocol', 'GET ftp://a/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'],
    ['a target of *', 'OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n'],
    ['a backslash in the path', 'GET /\\healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'],
    ['a byte beyond ASCII in the path', 'GET /healthz\xe9 HTTP/1.1\r\nHost: localhost\r\n\r\n'],
    ['a method that is none', 'FOO /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'],
    ['HTTP/0.9', 'GET /healthz\r\n\r\n'],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['HTTP/9.9', 'GET /healthz HTTP/9.9\r\nHost: localhost\r\n\r\n'],
    ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
  ])('%s', async (_what, text) => {
    expectRefusal(await closedAfter(text + SECOND), 400);
  });
});

describe('Too much', () => {
  it.each([
    ['a path', 414, `GET /${'x'.repeat(8_192)} HTTP/1.1\r\nHost: localhost\r\n\r\n`],
    ['a query', 414, `GET /healthz?${'x'.repeat(8_192)} HTTP/1.1\r\nHost: localhost\r\n\r\n`],
    ['a path beyond all headers', 431, `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`],
    ['a header', 431, `${GET}X: ${'x'.repeat(16_384)}\r\n\r\n`],
    ['the headers together', 431, `${GET}${`X: ${'x'.repeat(400)}\r\n`.repeat(50)}\r\n`],
    ['a number of headers', 431, `${GET}${'a:\r\n'.repeat(100)}\r\n`],
    ['a number of headers beyond what Node hands over', 431, `${GET}${'a:\r\n'.repeat(2_500)}\r\n`],
    ['a trailer', 431, `${CHUNKED}0\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`],
    ['chunk extensions', 413, `${CHUNKED}2;${'x'.repeat(20_000)}\r\n{}\r\n0\r\n\r\n`],
    ['an expectation', 417, `${POST}Expect: a-miracle\r\nContent-Length: 2\r\n\r\n{}`],
    ['a tunnel', 405, 'CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n'],
  ])('%s: %s, and the connection closed', async (_what, status, text) => {
    expectRefusal(await closedAfter(text), status);
  });

  it('not yet: what is just below the limits is served', async () => {
    const close = 'Connection: close\r\n';
    const replies = await Promise.all([
      closedAfter(`GET /healthz?${'x'.repeat(8_000)} HTTP/1.1\r\nHost: localhost\r\n${close}\r\n`),
      closedAfter(`${GET}${close}X: ${'x'.repeat(15_000)}\r\n\r\n`),
      closedAfter(`${GET}${close}${'a:\r\n'.repeat(98)}\r\n`),
    ]);
    expect(replies.map(([reply]) => reply?.status)).toEqual([200, 200, 200]);
  });
});

describe('What is unusual but right', () => {
  it.each([
    ['an absolute target', 'GET http://a/healthz HTTP/1.1\r\nHost: localhost\r\n', 200],
    ['HTTP/1.0', 'GET /healthz HTTP/1.0\r\n', 200],
    ['an upgrade is not taken', `${GET}Connection: Upgrade, close\r\nUpgrade: websocket\r\n`, 200],
    ['TRACE echoes nothing', 'TRACE /healthz HTTP/1.1\r\nHost: localhost\r\nX-Secret: canary\r\n', 405],
    ['OPTIONS', 'OPTIONS /healthz HTTP/1.1\r\nHost: localhost\r\n', 405],
  ])('%s', async (_what, head, status) => {
    const replies = await closedAfter(`${head}Connection: close\r\n\r\n`);
    expect(replies.map((reply) => reply.status)).toEqual([status]);
    expect(JSON.stringify(replies)).not.toContain('canary');
  });

  it('two requests at once are answered in order', async () => {
    const nope = 'GET /nope HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n';
    expect((await closedAfter(SECOND + nope)).map(({ status }) => status)).toEqual([200, 404]);
  });

  it('100-continue is said when the body is wanted', async () => {
    const head = `${POST}Expect: 100-continue\r\nConnection: close\r\n`;
    const client = new RawClient(c.facade.url).send(`${head}Content-Length: 2\r\n\r\n`);
    await expect.poll(() => client.text).toBe('HTTP/1.1 100 Continue\r\n\r\n');
    client.send('{}');
    expect(repliesIn(await client.closed).map(({ status }) => status)).toEqual([100, 422]);

    const unwanted = await closedAfter(`${head}Content-Length: 99999999\r\n\r\n`);
    expect(unwanted.map(({ status }) => status)).toEqual([413]);
  });

  it('a reply that is owed is sent whole before the connection is closed because of what came after', async () => {
    c.mock!.fault(() => ({ delayMs: 200 }));
    const client = new RawClient(c.facade.url).send(
      'GET /proxy/prefect/version HTTP/1.1\r\nHost: localhost\r\n\r\nthis is no HTTP\r\n\r\n',
    );
    expect(repliesIn(await client.closed).map(({ status, json }) => [status, json])).toEqual([
      [200, '3.8.8'],
    ]);
    c.mock!.reset();
  });
});

describe('Too slow', () => {
  let facade: Facade;
  beforeAll(async () => {
    facade = await startFacade(c.apiUrl, { REQUEST_TIMEOUT: '0.3', KEEP_ALIVE_TIMEOUT: '0.3' });
  });
  afterAll(() => facade.close());

  /** Sends a byte now and then, for as long as it is listened to. */
  const drip = (client: RawClient, byte: string) => {
    const timer = setInterval(() => client.send(byte), 20);
    void client.closed.then(() => {
      clearInterval(timer);
    });
  };

  it.each([
    ['a head', GET, 'x'],
    ['a body', `${POST}Content-Length: 1000000\r\n\r\n{`, ' '],
    ['chunks', `${CHUNKED}fffff\r\n{`, ' '],
    ['a chunk size', CHUNKED, '0'],
  ])('%s that drips is a 408', async (_what, start, byte) => {
    const client = new RawClient(facade.url).send(start);
    drip(client, byte);
    expectRefusal(repliesIn(await client.closed), 408);
  });

  it.each([
    ['that nobody wants', 'DELETE /nope HTTP/1.1\r\nHost: localhost\r\n', 404],
    ['of a GET', GET, 200],
  ])('a body %s is not waited for; its connection is closed', async (_what, head, status) => {
    const client = new RawClient(facade.url).send(`${head}Content-Length: 1000000\r\n\r\n`);
    drip(client, ' ');
    expect(repliesIn(await client.closed).map((reply) => reply.status)).toEqual([status]);
  });

  it('a connection on which nothing comes is closed without a word', async () => {
    expect(await new RawClient(facade.url).closed).toBe('');
  });

  it('a connection that waits for its next request is closed', async () => {
    expect(repliesIn(await new RawClient(facade.url).send(SECOND).closed)).toHaveLength(1);
  });
});

describe('Nonsense', () => {
  const line = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) });
  const head = fc.tuple(
    fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'HEAD', 'PATCH', 'TRACE', 'CONNECT', 'PURGE', 'get', ''),
    fc.oneof(
      fc.constantFrom(
        '/healthz',
        '/proxy/flow_run/',
        '*',
        'http://a/',
        '/proxy/blocks/secret/%ff',
        '//',
        '/..',
      ),
      line,
      fc.webPath(),
    ),
    fc.constantFrom('HTTP/1.1', 'HTTP/1.0', 'HTTP/2.0', 'http/1.1', ''),
  );
  const header = fc.oneof(
    fc.constantFrom(
      'Host: a',
      'Host: [::',
      'Content-Length: 3',
      'Content-Length: 3, 4',
      'Transfer-Encoding: chunked',
      'Transfer-Encoding: gzip, chunked',
      'Expect: 100-continue',
      'Connection: close',
      'Connection: Upgrade',
      'Upgrade: h2c',
      'Content-Type: application/json; charset=utf-7',
      'X-Request-Id: \x7f',
    ),
    line,
  );
  const request = fc
    .tuple(head, fc.array(header, { maxLength: 8 }), fc.constantFrom('\r\n', '\n'), line)
    .map(([parts, headers, end, body]) => [parts.join(' '), ...headers, '', body].join(end));

  it('is answered or cut off, never with a 5xx, and the next one is served', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          request,
          line,
          fc.tuple(request, request).map((two) => two.join('')),
        ),
        async (text) => {
          const received = await new RawClient(c.facade.url).send(text).end().closed;
          expect(received).toMatch(/^($|HTTP\/1\.1 [1-4]\d\d )/);
          expect(received).not.toMatch(/\n\s+at |HTTP\/1\.1 5/);
          expect((await c.host.get('/healthz')).status).toBe(200);
        },
      ),
      { numRuns: 200 },
    );
  });
});
