import { describe, expect, it } from 'vitest';
import { contract, lastUpstreamCalls } from '../support/contract.js';
import type { Reply } from '../support/host.js';

const c = contract();
const URL = '/proxy/blocks/airbyte/server/';
const FIELDS = { serverHost: 'airbyte.local', serverPort: '8000', apiVersion: 'v1' };
const STOCK = {
  username: 'airbyte',
  password: 'password',
  server_host: 'airbyte.local',
  server_port: 8000,
  api_version: 'v1',
  use_ssl: false,
};

interface Block {
  id: string;
  name: string;
  data: Record<string, unknown>;
}

/** The block as the orchestrator holds it, secrets in clear. */
async function stored(name: string): Promise<Block> {
  const path = `/block_types/slug/airbyte-server/block_documents/name/${name}?include_secrets=true`;
  return (await c.seed.call('GET', path)) as Block;
}

async function create(label: string, fields: Record<string, unknown> = {}): Promise<string> {
  const reply = await c.host.post(URL, { blockName: c.seed.name(label), ...FIELDS, ...fields });
  expect(reply.status).toBe(200);
  return c.seed.name(label);
}

const refusal = ({ status, json }: Reply) => {
  const { detail, code } = json as { detail: unknown; code: string };
  return [status, detail, code];
};

describe('POST /proxy/blocks/airbyte/server/', () => {
  it('makes a block with stock credentials', async () => {
    const name = c.seed.name('airbyte');
    const reply = await c.host.post(URL, { blockName: name, ...FIELDS });
    const block = await stored(name);
    expect(reply.status).toBe(200);
    expect(reply.text).toBe(JSON.stringify({ block_id: block.id, cleaned_block_name: name }));
    expect(block.data).toEqual(STOCK);
  });

  it('hides the password from those who do not ask for secrets', async () => {
    const name = await create('hidden');
    const block = (await c.seed.call(
      'GET',
      `/block_types/slug/airbyte-server/block_documents/name/${name}`,
    )) as Block;
    expect(block.data['password']).toBe('********');
  });

  it.each([
    ['Air Byte_', 'airbyte'],
    ['ÄIRbyte/😀%?.', 'irbyte'],
    ['-9-Ω', '-9-'],
  ])('cleans the name %j', async (given, clean) => {
    const reply = await c.host.post(URL, { blockName: `${given}-${c.seed.suffix}-C`, ...FIELDS });
    const cleaned = `${clean}-${c.seed.suffix}-c`;
    expect(reply.json).toEqual({ block_id: (await stored(cleaned)).id, cleaned_block_name: cleaned });
  });

  it.each([
    ['boolean', true],
    ['text', 'yes'],
    ['number', 1],
  ])('takes useSSL as a %s', async (label, useSSL) => {
    const name = await create(`ssl-${label}`, { useSSL });
    expect((await stored(name)).data['use_ssl']).toBe(true);
  });

  it('refuses a name that exists, and leaves that block as it was', async () => {
    const name = await create('taken');
    const again = await c.host.post(URL, { blockName: name.toUpperCase(), ...FIELDS, serverHost: 'other' });
    expect(refusal(again)).toEqual([409, 'failed to create airbyte server block', 'conflict']);
    expect((await stored(name)).data).toEqual(STOCK);
  });

  it.each(['', '😀', 'ÄÖÜ ./_'])('refuses the name %j: nothing is left of it', async (blockName) => {
    const reply = await c.host.post(URL, { blockName, ...FIELDS });
    expect(refusal(reply)).toEqual([400, 'failed to create airbyte server block', 'bad_request']);
  });

  it.each(['abc', '', '80x', '1.5', '0x50', '-1', '65536', '99999999999999999999'])(
    'refuses the port %j and makes nothing',
    async (serverPort) => {
      const blockName = c.seed.name('bad-port');
      const reply = await c.host.post(URL, { blockName, ...FIELDS, serverPort });
      expect(reply.status).toBe(422);
      expect(reply.json).toMatchObject({ detail: [{ loc: ['body', 'serverPort'] }] });
      expect((await c.host.get(URL + blockName)).json).toEqual({ block_id: null });
    },
  );

  it.each([
    ['an empty object', {}, ['missing', 'missing', 'missing', 'missing']],
    ['a port that is a number', { blockName: 'x', ...FIELDS, serverPort: 8000 }, ['string_type']],
    ['useSSL that is no boolean', { blockName: 'x', ...FIELDS, useSSL: 'maybe' }, ['bool_parsing']],
    ['useSSL null', { blockName: 'x', ...FIELDS, useSSL: null }, ['bool_type']],
    ['null', null, ['missing']],
    ['a list', [1], ['model_attributes_type']],
  ])('refuses %s with pydantic words', async (_label, body, types) => {
    const reply = await c.host.post(URL, body);
    expect(reply.status).toBe(422);
    const { detail } = reply.json as { detail: { type: string }[] };
    expect(detail.map(({ type }) => type)).toEqual(types);
    expect(lastUpstreamCalls(c.facade)).toBe(0);
  });
});

describe('GET /proxy/blocks/airbyte/server/{blockname}', () => {
  it('gives the id, with and without the slash at the end', async () => {
    const name = await create('read');
    const body = JSON.stringify({ block_id: (await stored(name)).id });
    for (const path of [URL + name, `${URL}${name}/`]) {
      const reply = await c.host.get(path);
      expect([reply.status, reply.text]).toEqual([200, body]);
      expect(lastUpstreamCalls(c.facade)).toBe(1);
    }
  });

  it('does not clean the name', async () => {
    const name = await create('as-given');
    expect((await c.host.get(URL + name.toUpperCase())).json).toEqual({ block_id: null });
  });

  it.each(['none', 'a%20b', '%F0%9F%98%80', 'a%3Fx=1', '..%3F', 'x'.repeat(4000)])(
    'gives null for %.20s',
    async (name) => {
      const reply = await c.host.get(URL + name);
      expect([reply.status, reply.text]).toEqual([200, '{"block_id":null}']);
    },
  );

  it.each(['a%2Fb', '..%2F..%2Fadmin%2Fversion'])('takes %s for another path', async (name) => {
    expect(refusal(await c.host.get(URL + name))).toEqual([404, 'Not Found', 'not_found']);
  });
});

describe('GET /proxy/blocks/airbyte/server/block/{blockname}', () => {
  const CONFIG = '/proxy/blocks/airbyte/server/block/';

  it.each([
    ['stock', {}, 'airbyte:password'],
    ['colons', { username: 'ann', password: 's3cr:t' }, 'ann:s3cr:t'],
    ['unicode', { username: 'änn✓', password: 'pä😀:ß' }, 'änn✓:pä😀:ß'],
    ['json', { username: 'ann', password: '12.0' }, 'ann:12.0'],
  ])('gives address and token (%s)', async (label, credentials, clear) => {
    const name = await create(`config-${label}`);
    await c.host.put(URL, { blockName: name, ...credentials });
    const reply = await c.host.get(CONFIG + name);
    const token = Buffer.from(clear, 'utf8').toString('base64');
    expect(reply.status).toBe(200);
    expect(reply.text).toBe(JSON.stringify({ host: 'airbyte.local', port: 8000, version: 'v1', token }));
    expect(lastUpstreamCalls(c.facade)).toBe(1);
  });

  it.each(['none', 'a%20b', '..%3F', '%F0%9F%98%80'])('has no block named %s', async (name) => {
    expect(refusal(await c.host.get(CONFIG + name))).toEqual([404, 'block not found', 'not_found']);
  });
});
