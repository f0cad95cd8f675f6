import { randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { contract } from '../support/contract.js';
import { startFacade, type Facade } from '../support/facade.js';
import { Host, type Reply } from '../support/host.js';
import { COMPLETED, RUNNING } from '../support/seed.js';

const c = contract();
const LATER = { scheduled_time: '2999-01-01T00:00:00Z' };
const poll = (host: Host, id: string) => host.get(`/proxy/flow_runs/${id}/poll`);

/** Stands before the orchestrator and can hold a reply back after it was made: then it is a stale one. */
class Gate {
  private readonly server: Server;
  private onHeld: (() => void) | undefined;
  private released: Promise<void> | undefined;

  constructor(apiUrl: string) {
    this.server = createServer((request, response) => {
      void (async () => {
        const chunks: Buffer[] = [];
        for await (const chunk of request) chunks.push(chunk as Buffer);
        const { method = 'GET', url = '' } = request;
        const body = chunks.length > 0 ? Buffer.concat(chunks) : null;
        const headers = { 'content-type': 'application/json' };
        const reply = await fetch(apiUrl + url.replace(/^\/api/, ''), { method, headers, body });
        const text = await reply.text();
        if (this.onHeld && method === 'GET') {
          this.onHeld();
          this.onHeld = undefined;
          await this.released;
        }
        response.writeHead(reply.status, headers).end(text === '' ? undefined : text);
      })();
    });
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/api`;
  }

  /** Holds the reply to the next GET. */
  holdNext(): { held: Promise<void>; release: () => void } {
    const held = new Promise<void>((resolve) => (this.onHeld = resolve));
    let release = () => {};
    this.released = new Promise<void>((resolve) => (release = resolve));
    return { held, release };
  }

  close = () => new Promise((resolve) => this.server.close(resolve));
}

describe('a poll after a write, while an older poll is still on its way', () => {
  let gate: Gate;
  let facade: Facade;
  let host: Host;

  beforeAll(async () => {
    gate = new Gate(c.apiUrl);
    facade = await startFacade(await gate.listen());
    host = new Host(facade.url);
  });
  afterAll(async () => {
    await host.close();
    await facade.close();
    await gate.close();
  });

  it.each<[string, (id: string) => Promise<Reply>, string | undefined]>([
    ['retry', (id) => host.post(`/proxy/flow_runs/${id}/retry`, { minutes: 5 }), 'AwaitingRetry'],
    [
      'cancellation',
      (id) =>
        host.post(`/proxy/flow_runs/${id}/set_state`, {
          state: { name: 'Cancelling', type: 'CANCELLING' },
          force: 'True',
        }),
      'Cancelled',
    ],
    ['deletion', (id) => host.delete(`/proxy/flow_runs/${id}`), undefined],
  ])('sees the %s', async (_, write, stateName) => {
    const state = { type: 'SCHEDULED', name: 'Scheduled', state_details: LATER };
    const id = await c.seed.flowRun({ state });
    const { held, release } = gate.holdNext();
    const old = poll(host, id);
    await held;
    expect((await write(id)).status).toBe(200);
    const fresh = await Promise.race([poll(host, id), old]);
    release();
    if (stateName === undefined) expect(fresh.status).toBe(404);
    else expect(fresh.json).toMatchObject({ id, state_name: stateName });
    expect((await old).json).toMatchObject({ id, state_name: 'Scheduled' });
    const last = await poll(host, id);
    expect(last.text).not.toContain('"state_name":"Scheduled"');
  });
});

describe('many polls at once', () => {
  function mockOf(context: TestContext) {
    if (!c.mock) context.skip();
    const { mock } = c;
    mock.reset();
    mock.fault((call) => (call.method === 'GET' ? { delayMs: 300 } : undefined));
    return mock;
  }

  it('of one run make one upstream call', async (context) => {
    const id = await c.seed.flowRun({ states: [RUNNING] });
    const mock = mockOf(context);
    const replies = await Promise.all(Array.from({ length: 100 }, () => poll(c.host, id)));
    expect(mock.calls.map((call) => call.path)).toEqual([`/flow_runs/${id}`]);
    expect(new Set(replies.map((reply) => reply.text)).size).toBe(1);
    expect(replies.every((reply) => reply.status === 200)).toBe(true);
    expect(new Set(replies.map((reply) => reply.headers['x-request-id'])).size).toBe(100);
    mock.reset();
  });

  it('of different runs are read together, and not mixed', async (context) => {
    const ids: string[] = [];
    for (const state of [RUNNING, COMPLETED, RUNNING]) ids.push(await c.seed.flowRun({ states: [state] }));
    const mock = mockOf(context);
    const asked = Array.from({ length: 90 }, (_, n) => ids[n % ids.length] ?? '');
    const replies = await Promise.all(asked.map((id) => poll(c.host, id)));
    expect(replies.map((reply) => (reply.json as { id: string }).id)).toEqual(asked);
    expect(mock.calls.length).toBeLessThanOrEqual(3);
    mock.reset();
  });

  it('answer what each run answers alone', async () => {
    const names = ['},{"id":"', 'back\\slash" ]', 'plain', '[{"x', 'ü\u2028'];
    const ids: string[] = [];
    for (const name of names) {
      const parameters = { nested: [{ id: name, a: [{}] }], '}': '{', float: '1.0' };
      ids.push(await c.seed.flowRun({ name, parameters, states: [COMPLETED] }));
    }
    const alone: string[] = [];
    for (const id of ids) alone.push((await poll(c.host, id)).text);
    const together = await Promise.all(ids.map((id) => poll(c.host, id)));
    expect(together.map((reply) => reply.text)).toEqual(alone);
  });

  it('give a run that is not there its 404, and the others their run', async () => {
    const id = await c.seed.flowRun({ states: [COMPLETED] });
    const unknown = randomUUID();
    const alone = await poll(c.host, unknown);
    const replies = await Promise.all([id, unknown, id, randomUUID()].map((one) => poll(c.host, one)));
    expect(replies.map((reply) => reply.status)).toEqual([200, 404, 200, 404]);
    expect(replies[1]?.json).toEqual({
      ...(alone.json as object),
      request_id: replies[1]?.headers['x-request-id'],
    });
  });

  it('are read one by one where the orchestrator fails at their list', async (context) => {
    const ids = [await c.seed.flowRun({ states: [RUNNING] }), await c.seed.flowRun({ states: [COMPLETED] })];
    const mock = mockOf(context);
    mock.reset();
    const body = '{"exception_message":"Internal Server Error"}';
    mock.fault(({ path }) => (path === '/flow_runs/filter' ? { status: 500, body } : undefined));
    const replies = await Promise.all(ids.map((id) => poll(c.host, id)));
    expect(replies.map((reply) => (reply.json as { id: string }).id)).toEqual(ids);
    mock.reset();
  });

  it('go on beside a call that hangs', async (context) => {
    const ids: string[] = [];
    for (let n = 0; n < 8; n += 1) ids.push(await c.seed.flowRun({ states: [RUNNING] }));
    const mock = mockOf(context);
    mock.reset();
    const hung = ids.slice(0, 2);
    let onHung = () => {};
    mock.fault(({ path }) => {
      if (!hung.some((id) => path.endsWith(id))) return undefined;
      onHung();
      return 'hang';
    });
    for (const id of hung) {
      await new Promise<void>((resolve) => {
        onHung = resolve;
        void poll(c.host, id).catch(() => undefined);
      });
    }
    const replies = await Promise.all(ids.slice(2).map((id) => poll(c.host, id)));
    expect(replies.map((reply) => reply.status)).toEqual(replies.map(() => 200));
    mock.reset();
  });

  it('share nothing with the ones after', async (context) => {
    const id = await c.seed.flowRun({ states: [RUNNING] });
    const mock = mockOf(context);
    expect((await poll(c.host, id)).json).toMatchObject({ state_name: 'Running' });
    await c.seed.setState('flow_runs', id, COMPLETED);
    expect((await poll(c.host, id)).json).toMatchObject({ state_name: 'Completed' });
    mock.reset();
  });

  it('all get the error, and the next one a new answer', async (context) => {
    const id = await c.seed.flowRun({ states: [RUNNING] });
    const mock = mockOf(context);
    mock.reset();
    let isDown = true;
    mock.fault(() =>
      isDown ? { status: 500, body: '{"exception_message":"Internal Server Error"}' } : undefined,
    );
    const replies = await Promise.all(Array.from({ length: 10 }, () => poll(c.host, id)));
    expect(new Set(replies.map((reply) => reply.status))).toEqual(new Set([502]));
    isDown = false;
    expect((await poll(c.host, id)).status).toBe(200);
    mock.reset();
  });
});
