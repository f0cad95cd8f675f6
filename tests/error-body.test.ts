import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { contract } from './support/contract.js';
import { ROUTES, makeGood, send, type Good } from './support/all-routes.js';

const c = contract({ PREFECT_API_RETRY: 'false' });
let good: Good;
beforeAll(async () => {
  good = await makeGood(c.host, c.seed);
});
beforeEach(() => {
  c.mock!.reset();
});

const UNKNOWN = '00000000-0000-4000-8000-000000000000';
const says = (status: number, body: unknown) => {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  c.mock!.fault(() => ({ status, body: text }));
};

describe('The error body', () => {
  const requests: [string, () => ReturnType<typeof c.host.get>, number][] = [
    ['unknown route', () => c.host.get('/nope'), 404],
    ['wrong method', () => c.host.post('/proxy/prefect/version'), 405],
    ['no such run', () => c.host.get(`/proxy/flow_runs/${UNKNOWN}`), 404],
    ['malformed', () => c.host.post('/proxy/flow_run/', {}), 422],
    ['raised on purpose', () => c.host.get('/sentry-debug'), 500],
    ['bad UTF-8', () => c.host.send('POST', '/proxy/flow_run/', { raw: new Uint8Array([255]) }), 400],
  ];
  it.each(requests)('%s: FastAPI-shaped, with code and request id', async (_what, request, status) => {
    const reply = await request();
    expect(reply.status).toBe(status);
    const { detail, code, request_id: id, ...rest } = reply.json as Record<string, unknown>;
    expect(typeof detail === 'string' || Array.isArray(detail)).toBe(true);
    expect(code).toMatch(/^[a-z_]+$/);
    expect(id).toBe(reply.headers['x-request-id']);
    expect(Object.keys(rest).filter((key) => key !== 'upstream')).toEqual([]);
    expect(reply.headers['content-type']).toBe('application/json');
  });

  it('says nothing about what was raised', async () => {
    const reply = await c.host.get('/sentry-debug');
    expect(reply.json).toMatchObject({ detail: 'Internal Server Error', code: 'internal' });
    expect(reply.text).not.toContain('purpose');
  });

  it('a body that is too large is 413', async () => {
    const reply = await c.host.post('/proxy/flow_run/', { name: 'x'.repeat(11 * 1024 * 1024) });
    expect(reply).toMatchObject({ status: 413, json: { code: 'body_too_large' } });
  });
});

describe('x-request-id', () => {
  it.each(['abc', 'A-1_2.3:4', 'x'.repeat(128)])('%s is echoed', async (id) => {
    for (const path of ['/proxy/prefect/version', '/nope']) {
      const reply = await c.host.get(path, { headers: { 'x-request-id': id } });
      expect(reply.headers['x-request-id']).toBe(id);
    }
    const failed = await c.host.get('/nope', { headers: { 'x-request-id': id } });
    expect(failed.json).toMatchObject({ request_id: id });
  });

  it.each(['', 'a b', 'x'.repeat(129), '<script>', 'a,b', 'é'])('%j is replaced', async (id) => {
    const reply = await c.host.get('/nope', { headers: { 'x-request-id': id } });
    expect(reply.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
    expect(reply.json).toMatchObject({ request_id: reply.headers['x-request-id'] });
  });

  it('is another one for each request', async () => {
    const replies = await Promise.all([c.host.get('/nope'), c.host.get('/nope')]);
    expect(new Set(replies.map((reply) => reply.headers['x-request-id'])).size).toBe(2);
  });
});

describe('upstream', () => {
  const start = (parameters: unknown) =>
    c.host.post(`/proxy/deployments/${good.deployment}/flow_run`, parameters);

  it('is what the orchestrator said', async () => {
    says(409, { detail: 'taken' });
    expect((await start({})).json).toMatchObject({ upstream: 'taken', code: 'conflict' });
  });

  it('is its list of problems, without the values', async () => {
    const problem = {
      loc: ['body', 'x'],
      msg: 'is wrong',
      type: 'value_error',
      input: 'VALUE',
      ctx: { error: 'VALUE' },
    };
    says(422, { exception_message: 'Invalid', exception_detail: [problem], request_body: { x: 'VALUE' } });
    const reply = await start({});
    expect(reply.json).toMatchObject({
      upstream: [{ loc: ['body', 'x'], msg: 'is wrong', type: 'value_error' }],
    });
    expect(reply.text).not.toContain('VALUE');
  });

  it.each(['<html>', '', '[]', 'null', '"text"', '{"detail":{"a":"VALUE"}}', '{"request_body":"VALUE"}'])(
    'is absent where it said %s',
    async (text) => {
      says(409, text);
      const reply = await start({});
      expect(reply.status).toBeGreaterThanOrEqual(400);
      expect(reply.json).not.toHaveProperty('upstream');
    },
  );

  it.each(ROUTES.filter((route) => route.body))('$id: no echo of the request', async (route) => {
    const secret = 'S3CRET-canary';
    const echo = {
      exception_message: 'Invalid request received.',
      exception_detail: [
        { loc: ['body', 'value'], msg: 'is wrong', type: 'value_error', input: { a: secret } },
      ],
      request_body: { data: { value: secret }, parameters: { password: secret } },
    };
    for (const status of [400, 409, 422, 429, 500, 503]) {
      c.mock!.reset();
      says(status, echo);
      expect((await send(c.host, route, good)).text).not.toContain(secret);
    }
  });

  it.each(['S3CRET-canary', 'line\nbreak-S3CRET', 'quote\'"S3CRET', 'ünï-S3CRET'])(
    'has no value of a parameter in its messages: %j',
    async (secret) => {
      const quoted = [secret, JSON.stringify(secret), `'${secret.replaceAll('\n', '\\n')}'`];
      for (const text of quoted) {
        c.mock!.reset();
        says(409, {
          detail: `Validation failed for field 'x'. Failure reason: ${text} is not of type 'integer'`,
        });
        const reply = await start({ x: { deep: [secret] } });
        expect(reply.status).toBe(409);
        expect(reply.text).not.toContain('S3CRET');
      }
    },
  );
});
