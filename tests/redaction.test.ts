import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ROUTES, makeGood, type Good, type RouteCase } from './support/all-routes.js';
import { contract } from './support/contract.js';
import { Host, type Reply } from './support/host.js';
import type { Fault, MockOrchestrator, RecordedCall } from './support/mock/index.js';

const CANARY = 'cAnArY-5e1f';
const PASSWORD = `${CANARY}-of-the-orchestrator`;
const c = contract({ PREFECT_API_RETRY: 'false', PREFECT_API_AUTH_STRING: `admin:${PASSWORD}` });
let good: Good;
let mock: MockOrchestrator;
beforeAll(async () => {
  good = await makeGood(c.host, c.seed);
  mock = c.mock!;
});
beforeEach(() => {
  mock.reset();
  c.facade.lines.length = 0;
});

const nested = { config: { tasks: [{ env: { KEY: CANARY }, note: CANARY }] }, list: [CANARY], note: CANARY };

/** Each route's body with something secret in every place where a host puts such things. */
const SECRETS: Record<string, Record<string, unknown>> = {
  createSecret: { secret: CANARY },
  upsertSecret: { secret: CANARY },
  updateAirbyteServer: { password: CANARY },
  upsertAirbyteConnection: { extra: nested },
  createDeployment: { deployment_params: nested },
  updateDeployment: { deployment_params: nested },
  runDeployment: nested,
  scheduleRun: { runParams: nested },
};
const bodyOf = (route: RouteCase) => ({ ...(route.body?.(good) as object), ...SECRETS[route.id] });
const withSecrets = ROUTES.filter(({ id }) => id in SECRETS);

const sent = ({ body }: RecordedCall) => JSON.stringify(body).includes(CANARY);
/** What a deletion is answered goes to the host as it is; it has no body that could be echoed. */
const silent = JSON.stringify({ detail: 'no' });
/** As Prefect echoes: the request always, and values inside its messages. */
const echo = (call: RecordedCall) =>
  call.method === 'DELETE'
    ? silent
    : JSON.stringify({
        exception_message: 'Invalid request received.',
        exception_detail: [
          {
            loc: ['body', 'x'],
            msg: sent(call) ? `'${CANARY}' is wrong` : 'is wrong',
            type: 'value_error',
            input: CANARY,
            ctx: { error: CANARY },
          },
        ],
        request_body: { data: nested, parameters: nested },
      });
const FAULTS: Fault[] = [
  ...[400, 401, 403, 404, 409, 422, 429, 500, 502, 503].map((status) => (call: RecordedCall) => ({
    status,
    body: echo(call),
  })),
  (call) => ({
    status: 409,
    body: `{"detail": "Failure reason: ${sent(call) ? CANARY : 'it'} is not of type 'integer'"}`,
  }),
  () => ({ status: 500, body: `Traceback: ${CANARY}` }),
  () => ({ status: 200, body: `<html>${CANARY}` }),
  () => ({ status: 200, body: `{"data": {"value": "${CANARY}"` }),
  (call) => ({ status: 200, body: echo(call) }),
  () => 'reset',
];

/** Encoded as for Basic, it is still a password. */
const leaks = (text: string) =>
  [
    CANARY,
    Buffer.from(CANARY).toString('base64').slice(0, -4),
    Buffer.from(`admin:${PASSWORD}`).toString('base64'),
  ].filter((form) => text.includes(form));

function expectNoLeak(reply?: Reply): void {
  if (reply && reply.status >= 400)
    expect({ status: reply.status, text: reply.text, leaks: leaks(reply.text) }).toMatchObject({ leaks: [] });
  expect(leaks(JSON.stringify(c.facade.lines))).toEqual([]);
}

describe('No secret in logs or error bodies', () => {
  it.each(withSecrets)('$id: done', async (route) => {
    const reply = await c.host.send(route.method, route.path(good), { body: bodyOf(route) });
    expect(reply.status).toBe(200);
    expectNoLeak(reply);
  });

  it.each(ROUTES)('$id: the orchestrator fails', async (route) => {
    for (const fault of FAULTS) {
      mock.reset();
      await c.host.get('/proxy/prefect/version');
      mock.fault(fault);
      const body = route.body ? { body: bodyOf(route) } : {};
      expectNoLeak(await c.host.send(route.method, route.path(good), body));
    }
    expect(c.facade.lines.length).toBeGreaterThan(FAULTS.length);
  });

  const WRONG: [
    string,
    (
      body: Record<string, unknown>,
      /** The part of it that is secret. */
      secrets: Record<string, unknown>,
    ) => { raw: string; headers?: Record<string, string> },
  ][] = [
    ['sent as a list', (body) => ({ raw: JSON.stringify([body]) })],
    ['sent as JSON in JSON', (body) => ({ raw: JSON.stringify(JSON.stringify(body)) })],
    ['sent as text', (body) => ({ raw: JSON.stringify(body), headers: { 'content-type': 'text/plain' } })],
    ['cut', (body) => ({ raw: JSON.stringify(body).slice(0, -2) })],
    ['with the secrets only', (body) => ({ raw: JSON.stringify({ nested: body }) })],
    [
      'under another name',
      (body) => ({ raw: JSON.stringify({ parameters: body, data: body, value: CANARY }) }),
    ],
    [
      'with secrets of another type',
      (_body, secrets) => ({
        raw: JSON.stringify(Object.fromEntries(Object.keys(secrets).map((key) => [key, { inner: CANARY }]))),
      }),
    ],
    [
      'with secrets in a list',
      (_body, secrets) => ({
        raw: JSON.stringify(Object.fromEntries(Object.keys(secrets).map((key) => [key, [CANARY]]))),
      }),
    ],
    [
      'with a number beyond 64 bits',
      (body) => ({
        raw: JSON.stringify({ ...body, big: 0 })
          .replace('"note"', '"big":1e400,"note"')
          .replace('"big":0', '"big":1e400'),
      }),
    ],
  ];
  describe.each(WRONG)('the host sends its body %s', (_what, wrong) => {
    it.each(withSecrets)('$id', async (route) => {
      expectNoLeak(
        await c.host.send(route.method, route.path(good), wrong(bodyOf(route), SECRETS[route.id]!)),
      );
    });
  });

  it('not in a path, a query or a header', async () => {
    const headers = {
      authorization: `Bearer ${CANARY}`,
      cookie: CANARY,
      'x-forwarded-for': CANARY,
      referer: CANARY,
    };
    for (const path of [
      `/nope/${CANARY}`,
      `/proxy/prefect/version?key=${CANARY}`,
      `/proxy/blocks/airbyte/server/${CANARY}`,
    ]) {
      await c.host.get(path, { headers });
      expectNoLeak();
    }
    expect(c.facade.lines).toHaveLength(3);
  });
});

describe('The real program', () => {
  it('writes no secret to its console and its file', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'prefect-proxy-'));
    const program = spawn(process.execPath, ['--import', 'tsx', 'src/cli.ts', 'serve'], {
      cwd: fileURLToPath(new URL('..', import.meta.url)),
      env: {
        PATH: process.env['PATH'],
        PREFECT_API_URL: c.apiUrl.replace('//', `//admin:${PASSWORD}@`),
        PREFECT_CLIENT_CUSTOM_HEADERS: JSON.stringify({ 'x-access': CANARY }),
        PREFECT_API_RETRY: 'false',
        PREFECT_PROXY_API_PORT: '0',
        LOG_LEVEL: 'debug',
        LOGDIR: join(directory, 'made', 'here'),
      },
    });
    let written = '';
    program.stderr.on('data', (part: Buffer) => (written += part.toString()));
    const exited = once(program, 'exit');
    try {
      const url = await new Promise<string>((resolve, reject) => {
        createInterface({ input: program.stdout }).on('line', (line) => {
          written += `${line}\n`;
          const found = /"url":"([^"]+)"/.exec(line)?.[1];
          if (found) resolve(found);
        });
        void exited.then(() => {
          reject(new Error(`it ended: ${written}`));
        });
      });
      const host = new Host(url);
      for (const route of ROUTES.filter(({ silent }) => !silent)) {
        await host.send(route.method, route.path(good), route.body ? { body: bodyOf(route) } : {});
      }
      mock.fault((call) => ({ status: 422, body: echo(call) }));
      for (const route of withSecrets)
        await host.send(route.method, route.path(good), { body: bodyOf(route) });
      await host.close();
    } finally {
      program.kill('SIGTERM');
    }
    expect(await exited).toEqual([0, null]);
    const file = readFileSync(join(directory, 'made', 'here', 'prefect-proxy.log'), 'utf8');
    const requests = (text: string) =>
      text.split('\n').filter((line) => line.includes('"message":"request"'));
    expect(requests(file).length).toBeGreaterThan(ROUTES.length);
    expect(requests(written)).toHaveLength(requests(file).length);
    expect(leaks(written + file)).toEqual([]);
    rmSync(directory, { recursive: true });
  });
});
