import { describe, expect, it } from 'vitest';
import { WRONG_BODIES } from '../../bench/lib/large-bodies.js';
import { contract } from '../support/contract.js';

/** A limit that an operator has raised: with the default, most of these are refused by their size alone. */
const c = contract({ MAX_BODY_BYTES: String(8 * 1024 * 1024) });
const LARGE = 1024 * 1024;

interface Detail {
  type: string;
  loc: unknown[];
  msg: string;
  input: unknown;
}

const size = (value: unknown) => Buffer.byteLength(JSON.stringify(value));

describe('A large body that is wrong gets a small reply', () => {
  it.each(WRONG_BODIES)('$what', async ({ method, path, contentType = 'application/json', text }) => {
    const headers = { 'content-type': contentType };
    const reply = await c.host.send(method, path, { raw: text(LARGE), headers });
    expect(reply.status).toBe(422);
    expect(Buffer.byteLength(reply.text)).toBeLessThan(64 * 1024);
    const { detail } = reply.json as { detail: Detail[] };
    expect(detail.length).toBeGreaterThan(0);
    expect(detail.length).toBeLessThanOrEqual(20);
    for (const { input, loc } of detail) {
      expect(size(input)).toBeLessThanOrEqual(1024);
      expect(size(loc)).toBeLessThanOrEqual(4096);
    }
    expect(c.mock!.calls).toEqual([]);
  });

  it('even if the path to what is wrong in it is long, and of characters that are long in JSON', async () => {
    const key = JSON.stringify('\u0001'.repeat(1_000));
    const raw = `${`{${key}:`.repeat(150)}"\\u0000"${'}'.repeat(150)}`;
    const reply = await c.host.send('POST', '/proxy/flow_run/', { raw });
    expect(reply).toMatchObject({ status: 422, json: { detail: [{ type: 'value_error' }] } });
    expect(Buffer.byteLength(reply.text)).toBeLessThan(64 * 1024);
  });

  it('which shows the beginning of a text, and the shape of an object, and says where it was cut', async () => {
    const shown = async (path: string, body: unknown) =>
      ((await c.host.post(path, body)).json as { detail: Detail[] }).detail[0]!.input;
    expect(await shown('/proxy/flow_run/', { name: '😀'.repeat(500) + 'x'.repeat(200) })).toMatch(
      /^(?:😀){100,200}\.\.\.$/u,
    );
    const wide = Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`k${n}`, 'tell-nobody']));
    const shape = await shown('/proxy/flow_run/', wide);
    expect(shape).toMatchObject({ k0: '**********', '...': '...' });
    const list = await shown('/proxy/flow_run/', { name: Array.from({ length: 1000 }, () => 'tell-nobody') });
    expect(list).toEqual(expect.arrayContaining(['**********', '...']));
    expect(JSON.stringify([shape, list])).not.toContain('tell-nobody');
  });
});

describe('A list that is too long is refused for its length, not for each of its items', () => {
  const common = { type: 't', slug: 's', working_dir: '/', env: {}, flow_name: 'f', flow_run_name: 'r' };
  it.each<[string, string, number, (items: unknown[]) => object, unknown]>([
    ['ids to poll', '/proxy/v1/flow_runs/poll', 1_000, (ids) => ({ ids }), 'ids'],
    [
      'deployments',
      '/proxy/deployments/filter',
      10_000,
      (ids) => ({ org_slug: 'a', deployment_ids: ids }),
      'deployment_ids',
    ],
    [
      'runs to leave out',
      '/proxy/flow_runs/late',
      10_000,
      (ids) => ({ exclude_flow_run_ids: ids }),
      'exclude_flow_run_ids',
    ],
    ['queues', '/proxy/workers/filter/', 1_000, (names) => ({ work_queue_names: names }), 'work_queue_names'],
    ['pools', '/proxy/workers/filter/', 100, (names) => ({ work_pool_names: names }), 'work_pool_names'],
    ['commands', '/proxy/flows/shell/run/', 1_000, (commands) => ({ ...common, commands }), 'commands'],
  ])('%s', async (_what, path, most, body, field) => {
    const items = Array.from({ length: most + 1 }, () => 7);
    const reply = await c.host.post(path, body(items));
    expect(reply).toMatchObject({
      status: 422,
      json: { detail: [{ type: 'list_length', loc: ['body', field] }] },
    });
    expect((reply.json as { detail: unknown[] }).detail).toHaveLength(1);
    expect(c.mock!.calls).toEqual([]);
  });

  it('and of one that is just not too long, at most 20 items are spoken of', async () => {
    const reply = await c.host.post('/proxy/v1/flow_runs/poll', {
      ids: Array.from({ length: 1_000 }, () => 'x'),
    });
    const { detail } = reply.json as { detail: Detail[] };
    expect(detail.map(({ loc }) => loc)).toEqual(Array.from({ length: 20 }, (_, n) => ['body', 'ids', n]));
  });
});

describe('What Prefect says of a large request', () => {
  const START = '/proxy/deployments/00000000-0000-4000-8000-000000000000/flow_run';
  const values = Array.from({ length: 60_000 }, (_, n) => `tell-nobody-${n}`);
  const problem = (msg: string) => ({ loc: ['body'], msg, type: 'value_error' });
  const refuse = (detail: unknown, more: object = {}) => {
    c.mock!.reset();
    c.mock!.fault(() => ({
      status: 422,
      body: JSON.stringify({
        exception_message: 'Invalid request received.',
        exception_detail: detail,
        ...more,
      }),
    }));
    return c.host.post(START, { values });
  };

  it('is passed on if it is short, without the values that it quotes', async () => {
    const msg = `got 'tell-nobody-59999' of 1,234,567 bytes`;
    const reply = await refuse([problem(msg)], { request_body: { parameters: { values } } });
    expect(reply).toMatchObject({
      status: 400,
      json: { upstream: [{ msg: "got '***' of 1,234,567 bytes" }] },
    });
  });

  it('is cut if it is long', async () => {
    const long = `not an object: ${JSON.stringify(values)}`;
    const middle = `not an object: ${JSON.stringify(values.slice(0, 150))}`;
    const reply = await refuse(Array.from({ length: 100 }, (_, n) => problem(n % 2 ? long : middle)));
    expect(reply.status).toBe(400);
    expect(Buffer.byteLength(reply.text)).toBeLessThan(64 * 1024);
    expect(reply.text).not.toContain('tell-nobody');
    expect(reply.text).toContain('not an object');
  });
});
