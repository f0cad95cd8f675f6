import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../src/config.js';
import type { Logger, LogFields } from '../src/logger.js';
import { serve, type Facade } from '../src/serve.js';
import type { Hint } from '../src/services/hints.js';
import { Host, type SendOptions } from './support/host.js';

const PATH = '/webhooks/v1/notification/';
const KEY = 'cAnArY-key-one';
const NEW_KEY = 'cAnArY-key-two';
const RUN = '3f266c7b-7c49-43fb-9478-768b9a2832b6';
const OTHER = '82663e83-49e5-4df8-bb0e-c5666a6d54e8';
const STATE = '01a1fe48-4898-75c7-8dd1-a8b24d27d3b2';
const MAX_BYTES = 256 * 1024;

const hints: Hint[] = [];
const lines: (LogFields & { message: string })[] = [];
const started: { close(): Promise<void> }[] = [];
let facade: Facade;
let host: Host;

/** A facade whose orchestrator is not there: a hint must not need it. */
async function start(env: Record<string, string>): Promise<{ facade: Facade; host: Host }> {
  const write = (message: string, fields: LogFields = {}) => lines.push({ ...fields, message });
  const logger: Logger = { info: write, warn: write, error: write, close: () => Promise.resolve() };
  const config = { ...loadConfig(env), PREFECT_API_URL: 'http://127.0.0.1:1/api' };
  const one = await serve({ config, logger, port: 0, hint: (hint) => hints.push(hint) });
  const client = new Host(one.url);
  started.push(client, one);
  return { facade: one, host: client };
}

beforeAll(async () => {
  ({ facade, host } = await start({ PREFECT_NOTIFICATIONS_WEBHOOK_KEY: `${KEY}, ${NEW_KEY}` }));
});
afterEach(() => {
  // Of no test, whatever was sent.
  expect(JSON.stringify(lines)).not.toMatch(/cAnArY/);
  hints.length = 0;
  lines.length = 0;
});
afterAll(async () => {
  for (const one of started) await one.close();
});

const withKey = { 'x-notification-key': KEY };
const notify = (body: unknown, options: SendOptions = {}) =>
  host.post(PATH, body, { headers: withKey, ...options });
const sentence = (name: string, id = RUN, state = 'Completed') =>
  `Flow run ${name} with id ${id} entered state ${state}`;

/** As the orchestrator's API answers it, shortened. */
const flowRun = (more: object = {}) => ({
  id: RUN,
  name: 'tidy "owl"\n',
  flow_id: OTHER,
  state_id: STATE,
  state: { id: STATE, type: 'COMPLETED', name: 'Completed', state_details: { flow_run_id: RUN } },
  ...more,
});

/** As `{{ flow_run | tojson }}` of an automation writes it: the state is one that was made for the template. */
const templateRun = flowRun({
  state_id: null,
  state: { id: STATE, type: 'COMPLETED', name: 'Completed', state_details: { flow_run_id: null } },
});

/** As `{{ event | tojson }}` of an automation writes it. */
const event = (resource: object = {}, more: object = {}) => ({
  event: 'prefect.flow-run.Completed',
  follows: null,
  id: STATE,
  occurred: '2026-01-21T13:25:12.472118Z',
  payload: { intended: { from: 'RUNNING', to: 'COMPLETED' } },
  received: '2026-01-21T13:25:12.472252Z',
  related: [{ 'prefect.resource.id': `prefect.flow.${OTHER}`, 'prefect.resource.role': 'flow' }],
  resource: {
    'prefect.resource.id': `prefect.flow-run.${RUN}`,
    'prefect.state-name': 'Completed',
    'prefect.state-type': 'COMPLETED',
    ...resource,
  },
  ...more,
});

/** Sends bytes on a connection of its own. */
class RawRequest {
  received = '';
  private readonly socket: Socket;

  constructor(head: string[], url = facade.url) {
    this.socket = connect(Number(new URL(url).port), '127.0.0.1');
    this.socket.on('data', (part) => (this.received += part.toString()));
    this.socket.on('error', () => {});
    this.send([`POST ${PATH} HTTP/1.1`, 'host: localhost', ...head, '', ''].join('\r\n'));
  }

  send(text: string): void {
    this.socket.write(text);
  }

  async status(): Promise<number> {
    while (!this.received.includes('\r\n')) await once(this.socket, 'data');
    this.socket.destroy();
    return Number(this.received.split(' ')[1]);
  }
}

describe('The key', () => {
  it.each([KEY, NEW_KEY])('%s is taken', async (key) => {
    const reply = await notify({ body: sentence('a') }, { headers: { 'X-Notification-Key': key } });
    expect(reply).toMatchObject({ status: 200, json: { status: 'ok' } });
    expect(hints).toEqual([{ flowRunId: RUN }]);
  });

  it.each<[string, Record<string, string>]>([
    ['missing', {}],
    ['empty', { 'x-notification-key': '' }],
    ['another', { 'x-notification-key': 'cAnArY-wrong' }],
    ['cut', { 'x-notification-key': KEY.slice(0, -1) }],
    ['longer', { 'x-notification-key': `${KEY}x` }],
    ['in other letters', { 'x-notification-key': KEY.toUpperCase() }],
    ['the whole list', { 'x-notification-key': `${KEY}, ${NEW_KEY}` }],
    ['not ASCII', { 'x-notification-key': 'cAnArY-\xe4' }],
    ['in another header', { authorization: `Bearer ${KEY}`, 'x-api-key': KEY }],
  ])('%s: 401', async (_what, headers) => {
    const reply = await notify({ body: sentence('a') }, { headers });
    expect(reply).toMatchObject({
      status: 401,
      json: { detail: 'unauthorized', code: 'unauthorized', request_id: reply.headers['x-request-id'] },
    });
    expect(hints).toEqual([]);
    expect(lines).toMatchObject([{ message: 'request', route: PATH, status: 401 }]);
  });

  it('is not looked for in the query or the body', async () => {
    const reply = await host.post(`${PATH}?X-Notification-Key=${KEY}`, {
      'X-Notification-Key': KEY,
      body: sentence('a'),
    });
    expect(reply.status).toBe(401);
    expect(hints).toEqual([]);
  });

  it('not set: 503, whatever is sent', async () => {
    const { host: shut } = await start({ PREFECT_NOTIFICATIONS_WEBHOOK_KEY: ' , ' });
    for (const headers of [{}, { 'x-notification-key': '' }, withKey]) {
      expect(await shut.post(PATH, { body: sentence('a') }, { headers })).toMatchObject({
        status: 503,
        json: { detail: 'PREFECT_NOTIFICATIONS_WEBHOOK_KEY is not set', code: 'not_configured' },
      });
    }
    expect(hints).toEqual([]);
  });

  it('is looked at before anything of the body is read', async () => {
    const half = ['content-length: 1000', '', '{"body": "Flow run'];
    expect(await new RawRequest(half).status()).toBe(401);
    expect(await new RawRequest(['x-notification-key: cAnArY-wrong', ...half]).status()).toBe(401);
    expect(await new RawRequest(['transfer-encoding: chunked', '', '5\r\n{"bod']).status()).toBe(401);
    const shut = await start({});
    expect(await new RawRequest([`x-notification-key: ${KEY}`, ...half], shut.facade.url).status()).toBe(503);
  });

  it('is right: the body is waited for', async () => {
    const body = JSON.stringify({ body: sentence('a') });
    const request = new RawRequest([`x-notification-key: ${KEY}`, `content-length: ${body.length}`]);
    request.send(body.slice(0, 20));
    await host.get('/healthz');
    expect(request.received).toBe('');
    request.send(body.slice(20));
    expect(await request.status()).toBe(200);
    expect(hints).toEqual([{ flowRunId: RUN }]);
  });

  it.each([
    ['malformed', '{'],
    ['too large', ' '.repeat(MAX_BYTES + 1)],
  ])('is wrong and the body is %s: 401', async (_what, raw) => {
    expect((await host.post(PATH, undefined, { raw })).status).toBe(401);
  });
});

describe('A notification', () => {
  const run = { flowRunId: RUN };
  const runAndState = { flowRunId: RUN, stateId: STATE };

  it.each<[string, unknown, Hint]>([
    ['a sentence', { body: sentence('tidy-owl') }, run],
    ['a sentence of a state with a name of its own', { body: sentence('a', RUN, 'DBT_TEST_FAILED') }, run],
    ['a sentence with blanks around it', { body: `\n ${sentence('a')}\n` }, run],
    ['a sentence with an id in capitals', { body: sentence('a', RUN.toUpperCase()) }, run],
    ['a sentence of a run without a name', { body: sentence('') }, run],
    ['a run', flowRun(), runAndState],
    ['a run in `body`', { body: flowRun() }, runAndState],
    ['a run as text in `body`', { body: JSON.stringify(flowRun()) }, runAndState],
    ['a run with ids in capitals', flowRun({ id: RUN.toUpperCase() }), runAndState],
    ['a run named like a sentence', { body: JSON.stringify(flowRun({ name: sentence('a', OTHER) })) }, run],
    ['a run of a template', templateRun, run],
    ['a run of a template as text in `body`', { body: JSON.stringify(templateRun) }, run],
    ['an event', event(), runAndState],
    ['an event in `event`', { event: event() }, runAndState],
    ['an event as text in `event`', { event: JSON.stringify(event()) }, runAndState],
    ['an event in `body`', { body: event() }, runAndState],
    ['an event as text in `body`', { body: JSON.stringify(event()) }, runAndState],
    ['an event beside other things', { text: 'x', body: 'a run has ended', event: event() }, runAndState],
    [
      'an event with an id in capitals',
      event({ 'prefect.resource.id': `prefect.flow-run.${RUN.toUpperCase()}` }),
      runAndState,
    ],
    [
      'an event that is no change of state: its id is no state',
      event({ 'prefect.state-type': undefined }, { event: 'prefect.flow-run.heartbeat' }),
      run,
    ],
  ])('%s', async (_what, body, hint) => {
    expect(await notify(body)).toMatchObject({ status: 200, json: { status: 'ok' } });
    expect(hints).toMatchObject([hint]);
    expect(lines).toMatchObject([{ message: 'request', route: PATH, status: 200, upstream_calls: 0 }]);
  });

  it('has no state id where none is known', async () => {
    await notify({ body: sentence('a') });
    await notify(templateRun);
    await notify(event({ 'prefect.state-type': undefined }));
    expect(hints).toEqual([run, run, run]);
  });

  it.each([
    'a b',
    'ünï çødé 🦉',
    'line\nbreak\r\n',
    "quote\"s and 'these' and \\",
    'x entered state Failed',
    `a with id ${OTHER} entered state Failed`,
    `a with id ${OTHER} entered state`,
    `with id ${OTHER} entered state with id ${OTHER} entered state`,
    `Flow run b with id ${OTHER} entered state Failed\n`,
    OTHER,
  ])('of a run named %j', async (name) => {
    await notify({ body: sentence(name) });
    expect(hints).toEqual([run]);
  });

  it.each<[string, Record<string, string>]>([
    ['none', {}],
    ['text', { 'content-type': 'text/plain' }],
    ['a form', { 'content-type': 'application/x-www-form-urlencoded' }],
    ['JSON with a charset', { 'content-type': 'application/json; charset=utf-8' }],
  ])('of the content type: %s', async (_what, headers) => {
    const body = JSON.stringify({ body: sentence('a') });
    const head = Object.entries({ ...withKey, ...headers }).map(([name, value]) => `${name}: ${value}`);
    const request = new RawRequest([...head, `content-length: ${body.length}`, '', body]);
    expect(await request.status()).toBe(200);
    expect(hints).toEqual([run]);
  });

  it('in pieces of no stated length', async () => {
    const body = JSON.stringify({ body: sentence('a') });
    const request = new RawRequest([`x-notification-key: ${KEY}`, 'transfer-encoding: chunked']);
    for (const part of [body.slice(0, 9), body.slice(9)]) {
      request.send(`${part.length.toString(16)}\r\n${part}\r\n`);
    }
    request.send('0\r\n\r\n');
    expect(await request.status()).toBe(200);
    expect(hints).toEqual([run]);
  });
});

describe('What is no notification', () => {
  it.each<[string, unknown]>([
    ['an empty object', {}],
    ['null', null],
    ['a list', [flowRun()]],
    ['a number', 7],
    ['text', sentence('a')],
    ['another object', { text: sentence('a') }],
    ['null in `body`', { body: null }],
    ['a list in `body`', { body: [sentence('a')] }],
    ['empty text', { body: '' }],
    ['another text', { body: 'cAnArY has ended' }],
    ['a sentence without an id', { body: 'Flow run a with id entered state Completed' }],
    ['a sentence with another id', { body: sentence('a', 'cAnArY') }],
    ['a sentence with a part of an id', { body: sentence('a', RUN.slice(1)) }],
    ['text of malformed JSON', { body: '{"id": "cAnArY' }],
    ['text of text', { body: JSON.stringify(JSON.stringify(flowRun())) }],
    ['a run with another id in its state', flowRun({ id: OTHER })],
    [
      'a run whose id is no UUID',
      flowRun({ id: 'cAnArY', state: { state_details: { flow_run_id: 'cAnArY' } } }),
    ],
    ['a run without a state', flowRun({ state: null })],
    ['a task run of a template', { ...templateRun, flow_id: undefined, flow_run_id: OTHER }],
    ['an event of a task run', event({}, { event: 'prefect.task-run.Completed' })],
    ['an event about something else', event({ 'prefect.resource.id': `prefect.task-run.${RUN}` })],
    ['an event of a run whose id is no UUID', event({ 'prefect.resource.id': 'prefect.flow-run.cAnArY' })],
    ['an event whose id is no UUID', event({}, { id: 'cAnArY' })],
  ])('%s: 200, no hint, and only its size in the log', async (_what, body) => {
    expect(await notify(body)).toMatchObject({ status: 200, json: { status: 'ok' } });
    expect(hints).toEqual([]);
    const bytes = Buffer.byteLength(JSON.stringify(body));
    expect(lines).toMatchObject([
      { message: 'webhook not understood', bytes },
      { message: 'request', status: 200 },
    ]);
    expect(Object.keys(lines[0]!).sort()).toEqual(['bytes', 'message']);
  });

  it.each<[string, string | Uint8Array]>([
    ['nothing', ''],
    ['text', sentence('cAnArY')],
    ['cut', JSON.stringify({ body: sentence('cAnArY') }).slice(0, -1)],
    ['two values', '{}{}'],
    ['a quote within a text', `{"body": "${sentence('the "cAnArY"')}"}`],
    ['not UTF-8', Buffer.from('{"body": "\xff"}', 'latin1')],
    ['nested too deep and cut', '['.repeat(200_000)],
  ])('malformed JSON, %s: 400', async (_what, raw) => {
    const reply = await notify(undefined, { raw });
    expect(reply).toMatchObject({ status: 400, json: { code: 'bad_request' } });
    expect(reply.text).not.toContain('cAnArY');
    expect(hints).toEqual([]);
  });

  it('a body at the limit is read, one byte more is 413', async () => {
    const fits = JSON.stringify({ body: sentence('a') }).padEnd(MAX_BYTES);
    expect((await notify(undefined, { raw: fits })).status).toBe(200);
    expect(await notify(undefined, { raw: `${fits} ` })).toMatchObject({
      status: 413,
      json: { code: 'body_too_large' },
    });
    expect(hints).toHaveLength(1);
  });

  it('413 comes before the body does', async () => {
    const key = `x-notification-key: ${KEY}`;
    expect(await new RawRequest([key, `content-length: ${MAX_BYTES + 1}`]).status()).toBe(413);
    const endless = new RawRequest([key, 'transfer-encoding: chunked']);
    endless.send(`${(MAX_BYTES + 1).toString(16)}\r\n${' '.repeat(MAX_BYTES + 1)}\r\n`);
    expect(await endless.status()).toBe(413);
  });

  it('a smaller limit of all routes counts', async () => {
    const { host: small } = await start({ PREFECT_NOTIFICATIONS_WEBHOOK_KEY: KEY, MAX_BODY_BYTES: '10' });
    const reply = await small.post(PATH, { body: sentence('a') }, { headers: withKey });
    expect(reply.status).toBe(413);
  });
});

describe('The address', () => {
  it.each([PATH, PATH.slice(0, -1), '/webhooks%2Fv1/notification%2f', `${PATH}?x=1`])('%s', async (path) => {
    const reply = await host.post(path, { body: sentence('a') }, { headers: withKey });
    expect(reply.status).toBe(200);
    expect(hints).toHaveLength(1);
  });

  it.each(['/webhooks/v1/notification/x', '/webhooks/v2/notification/', '/Webhooks/v1/notification/'])(
    'not %s',
    async (path) => {
      expect((await host.post(path, { body: sentence('a') }, { headers: withKey })).status).toBe(404);
    },
  );

  it.each(['GET', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'] as const)('%s: 405', async (method) => {
    const reply = await host.send(method, PATH, { headers: withKey });
    expect(reply).toMatchObject({ status: 405, headers: { allow: 'POST' } });
    expect(hints).toEqual([]);
  });

  it('is in /openapi.json, with its key', async () => {
    const { json } = await host.get('/openapi.json');
    expect(json).toMatchObject({
      paths: {
        [PATH]: {
          post: { security: [{ NotificationKey: [] }], responses: { 200: {}, 400: {}, 401: {}, 413: {} } },
        },
      },
      components: {
        securitySchemes: { NotificationKey: { type: 'apiKey', in: 'header', name: 'X-Notification-Key' } },
      },
    });
  });
});

describe('Whatever is sent', () => {
  const uuid = fc.uuid();
  /** Names of any characters, with the words of the sentence among them. */
  const name = fc
    .array(
      fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.constantFrom(
          ' with id ',
          ' entered state ',
          ' entered state',
          'Flow run ',
          '"',
          '\n',
          '\\',
          '\u2028',
        ),
        uuid.map((id) => ` with id ${id} entered state Failed`),
        uuid.map((id) => ` with id ${id} entered state`),
      ),
    )
    .map((parts) => parts.join(''));
  const stateName = fc.string({ unit: 'binary' }).filter((text) => !text.includes(' with id '));

  it('a sentence gives its own id', async () => {
    await fc.assert(
      fc.asyncProperty(name, uuid, stateName, async (given, id, state) => {
        hints.length = 0;
        expect((await notify({ body: sentence(given, id, state) })).status).toBe(200);
        expect(hints).toEqual([{ flowRunId: id }]);
      }),
      { numRuns: 200 },
    );
  });

  it('a run gives its own id, whatever it is called', async () => {
    const wrap = fc.constantFrom<((run: unknown) => unknown)[]>(
      (run) => run,
      (run) => ({ body: run }),
      (run) => ({ body: JSON.stringify(run) }),
    );
    await fc.assert(
      fc.asyncProperty(name, uuid, uuid, wrap, async (given, id, stateId, wrapped) => {
        hints.length = 0;
        const state = { id: stateId, name: given, state_details: { flow_run_id: id } };
        expect((await notify(wrapped({ id, name: given, state }))).status).toBe(200);
        expect(hints).toEqual([{ flowRunId: id, stateId }]);
      }),
      { numRuns: 100 },
    );
  });

  it('no JSON is more than a 200, and no hint is without a UUID', async () => {
    const keys = ['body', 'event', 'id', 'flow_id', 'resource', 'state', 'state_details', 'flow_run_id'];
    const { nearly } = fc.letrec<{ nearly: unknown }>((tie) => ({
      nearly: fc.oneof(
        { maxDepth: 5 },
        fc.oneof(
          fc.jsonValue(),
          uuid,
          fc.string().map((id) => sentence('a', id)),
          fc.constant(RUN),
        ),
        fc.constantFrom('prefect.flow-run.x', `prefect.flow-run.${RUN}`, '__proto__', `{"id":"${RUN}"}`),
        fc.dictionary(
          fc.constantFrom(...keys, 'prefect.resource.id', 'prefect.state-type', '__proto__'),
          tie('nearly'),
        ),
        tie('nearly').map((value) => JSON.stringify(value)),
      ),
    }));
    const mutated = fc
      .tuple(
        fc.constantFrom<unknown[]>(flowRun(), templateRun, event()),
        fc.dictionary(fc.constantFrom(...keys), nearly),
      )
      .map(([good, wrong]) => ({ ...(good as object), ...wrong }));
    await fc.assert(
      fc.asyncProperty(fc.oneof(nearly, mutated), async (body) => {
        hints.length = 0;
        expect((await notify(undefined, { raw: JSON.stringify(body) })).status).toBe(200);
        for (const hint of hints) {
          for (const id of Object.values(hint)) {
            expect(id).toMatch(/^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/);
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it('no bytes are a 5xx', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array(), async (raw) => {
        expect((await notify(undefined, { raw })).status).toBeLessThan(500);
      }),
    );
  });
});
