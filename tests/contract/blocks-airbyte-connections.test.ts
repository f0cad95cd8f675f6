import { beforeAll, describe, expect, it } from 'vitest';
import { contract, lastUpstreamCalls } from '../support/contract.js';
import type { Reply } from '../support/host.js';

const c = contract();
const URL = '/proxy/blocks/airbyte/connection/';
const FAILED = 'failed to upsert airbyte connection block';
let serverBlockName = '';

beforeAll(async () => {
  serverBlockName = await server('server', 'h1');
});

async function server(label: string, serverHost: string): Promise<string> {
  const blockName = c.seed.name(label);
  const fields = { serverHost, serverPort: '8000', apiVersion: 'v1' };
  await c.host.post('/proxy/blocks/airbyte/server/', { blockName, ...fields });
  return blockName;
}

/** The connection's block at the orchestrator, as text: numbers as they are stored. */
async function storedText(name: string): Promise<string> {
  const path = `/block_types/slug/airbyte-connection/block_documents/name/${name}?include_secrets=true`;
  return (await fetch(c.apiUrl + path)).text();
}

interface Block {
  id: string;
  data: Record<string, unknown> & { airbyte_server: Record<string, unknown> };
}
const stored = async (name: string) => JSON.parse(await storedText(name)) as Block;
const refusal = ({ status, json }: Reply) => {
  const { detail, code } = json as { detail: unknown; code: string };
  return [status, detail, code];
};

describe('PUT /proxy/blocks/airbyte/connection/', () => {
  it('makes a block that refers to the server block', async () => {
    const connectionBlockName = c.seed.name('conn');
    const reply = await c.host.put(URL, {
      serverBlockName,
      connectionId: 'a1b2',
      connectionBlockName,
      connectionName: 'Surveys ✓',
      extra: { schema: 'staging' },
    });
    const block = await stored(connectionBlockName);
    expect(reply.status).toBe(200);
    expect(reply.text).toBe(JSON.stringify({ block_id: block.id, cleaned_block_name: connectionBlockName }));
    expect(block.data).toEqual({
      airbyte_server: expect.objectContaining({ server_host: 'h1', server_port: 8000 }) as unknown,
      connection_id: 'a1b2',
      status_updates: false,
      timeout: 3600,
      extra: { schema: 'staging', name: 'Surveys ✓' },
    });
  });

  it('follows its server block', async () => {
    const itsServer = await server('moving', 'before');
    const connectionBlockName = c.seed.name('follows');
    await c.host.put(URL, { serverBlockName: itsServer, connectionId: 'x', connectionBlockName });
    await c.host.put('/proxy/blocks/airbyte/server/', { blockName: itsServer, serverHost: 'after' });
    expect((await stored(connectionBlockName)).data.airbyte_server['server_host']).toBe('after');
  });

  it('overwrites: the id stays, and nothing is left of the old values', async () => {
    const connectionBlockName = c.seed.name('twice');
    const other = await server('other', 'h2');
    const before = { connectionName: 'old', extra: { gone: 1, name: 'lost' } };
    const first = await c.host.put(URL, {
      serverBlockName,
      connectionId: '1',
      connectionBlockName,
      ...before,
    });
    const second = await c.host.put(URL, { serverBlockName: other, connectionId: '2', connectionBlockName });
    expect(second.text).toBe(first.text);
    expect((await stored(connectionBlockName)).data).toMatchObject({
      airbyte_server: { server_host: 'h2' },
      connection_id: '2',
      extra: { name: '' },
    });
    expect((await stored(connectionBlockName)).data['extra']).toEqual({ name: '' });
  });

  it.each([
    ['nested-empty', '{"a":{},"b":{"c":{}},"l":[{},[]],"n":null}'],
    ['floats', '{"one":1.0,"exp":1e5,"tiny":0.5,"big":1234567890123456789}'],
    ['unicode', '{"ü✓":"😀","":"empty key"}'],
  ])('keeps extra as it is (%s)', async (label, extra) => {
    const connectionBlockName = c.seed.name(label);
    const fields = { serverBlockName, connectionId: 'x', connectionBlockName, connectionName: 'n' };
    const raw = JSON.stringify(fields).replace(/}$/, `,"extra":${extra}}`);
    const reply = await c.host.send('PUT', URL, { raw });
    expect(reply.status).toBe(200);
    const expected = extra.replace(/}$/, ',"name":"n"}');
    // Python writes 1e5 as 100000.0.
    const text = (await storedText(connectionBlockName)).replace('100000.0', '1e5');
    expect(text).toContain(`"extra":${expected}`);
  });

  it('passes a name on as it is given, however long', async () => {
    const connectionBlockName = `${'x'.repeat(200)}-${c.seed.suffix}`;
    const reply = await c.host.put(URL, { serverBlockName, connectionId: 'x', connectionBlockName });
    expect(reply.json).toMatchObject({ cleaned_block_name: connectionBlockName });
  });

  it.each(['', 'a b', 'A', 'a/b', '..', 'a?b', 'ü😀'])(
    'answers 400 where the orchestrator takes no name like %j',
    async (connectionBlockName) => {
      const reply = await c.host.put(URL, { serverBlockName, connectionId: 'x', connectionBlockName });
      expect(refusal(reply)).toEqual([400, FAILED, 'bad_request']);
      expect(reply.json).toHaveProperty('upstream');
    },
  );

  it.each(['none', '', '..', 'a/b', 'ü😀'])('answers 404 for the server block %j', async (name) => {
    const connectionBlockName = c.seed.name('orphan');
    const reply = await c.host.put(URL, { serverBlockName: name, connectionId: 'x', connectionBlockName });
    expect(refusal(reply)).toEqual([404, FAILED, 'not_found']);
    expect(await storedText(connectionBlockName)).toContain('not found');
  });

  it.each([
    ['nothing', {}, ['missing', 'missing', 'missing']],
    ['extra as text', { extra: '{}' }, ['dict_type']],
    ['extra null', { extra: null }, ['dict_type']],
    ['a name that is a number', { connectionName: 7 }, ['string_type']],
  ])('refuses %s', async (label, fields, types) => {
    const required = { serverBlockName, connectionId: 'x', connectionBlockName: 'x' };
    const reply = await c.host.put(URL, label === 'nothing' ? {} : { ...required, ...fields });
    expect(reply.status).toBe(422);
    const { detail } = reply.json as { detail: { type: string }[] };
    expect(detail.map(({ type }) => type)).toEqual(types);
    expect(lastUpstreamCalls(c.facade)).toBe(0);
  });
});
