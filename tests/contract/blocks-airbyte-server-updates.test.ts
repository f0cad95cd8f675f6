import { describe, expect, it } from 'vitest';
import { contract } from '../support/contract.js';

const c = contract();
const URL = '/proxy/blocks/airbyte/server/';
const INITIAL = {
  username: 'ann',
  password: 's3cr:t',
  server_host: 'airbyte.local',
  server_port: 8000,
  api_version: 'v1',
  use_ssl: true,
};

interface Block {
  id: string;
  data: Record<string, unknown>;
}

async function stored(name: string): Promise<Block> {
  const path = `/block_types/slug/airbyte-server/block_documents/name/${name}?include_secrets=true`;
  return (await c.seed.call('GET', path)) as Block;
}

/** A block that differs from the stock one in each field that an update may touch. */
async function server(label: string): Promise<string> {
  const blockName = c.seed.name(label);
  const fields = { serverHost: 'airbyte.local', serverPort: '8000', apiVersion: 'v1', useSSL: true };
  await c.host.post(URL, { blockName, ...fields });
  await c.host.put(URL, { blockName, username: 'ann', password: 's3cr:t' });
  return blockName;
}

describe('PUT /proxy/blocks/airbyte/server/', () => {
  it.each([
    ['host', { serverHost: 'new.local' }, { server_host: 'new.local' }],
    ['port', { serverPort: '8001' }, { server_port: 8001 }],
    ['version', { apiVersion: 'v2' }, { api_version: 'v2' }],
    ['username', { username: 'bob' }, { username: 'bob' }],
    ['password', { password: 'päss✓' }, { password: 'päss✓' }],
    ['ssl-off', { useSSL: false }, { use_ssl: false }],
    ['ssl-null', { useSSL: null }, {}],
    ['nulls', { serverHost: null, serverPort: null, apiVersion: null, username: null, password: null }, {}],
    ['empty', { serverHost: '', apiVersion: '', username: '', password: '' }, {}],
    ['empty-port', { serverPort: '' }, {}],
    ['nothing', {}, {}],
    ['unknown', { poll: 1 }, {}],
    [
      'several',
      { serverHost: 'n', serverPort: '9', useSSL: false },
      { server_host: 'n', server_port: 9, use_ssl: false },
    ],
  ])('changes what is given and nothing else (%s)', async (label, change, expected) => {
    const blockName = await server(`upd-${label}`);
    const reply = await c.host.put(URL, { blockName, ...change });
    const block = await stored(blockName);
    expect(reply.status).toBe(200);
    expect(reply.text).toBe(JSON.stringify({ block_id: block.id, cleaned_block_name: blockName }));
    expect(block.data).toEqual({ ...INITIAL, ...expected });
  });

  it('never writes ******** back, however often it updates', async () => {
    const blockName = await server('obfuscated');
    for (const serverHost of ['one', 'two', 'three']) {
      expect((await c.host.put(URL, { blockName, serverHost })).status).toBe(200);
    }
    expect((await stored(blockName)).data).toEqual({ ...INITIAL, server_host: 'three' });
  });

  it.each(['none', '', '..', 'a/b', 'a?b', 'ü😀', 'a b'])('has no block named %j', async (blockName) => {
    const reply = await c.host.put(URL, { blockName, serverHost: 'h' });
    expect(reply.status).toBe(404);
    expect(reply.json).toMatchObject({ detail: 'failed to update airbyte server block', code: 'not_found' });
  });

  it('does not clean the name', async () => {
    const blockName = (await server('as-given')).toUpperCase();
    expect((await c.host.put(URL, { blockName, serverHost: 'h' })).status).toBe(404);
  });

  it.each(['abc', '1.5', '70000'])('refuses the port %j and changes nothing', async (serverPort) => {
    const blockName = await server('bad-port');
    const reply = await c.host.put(URL, { blockName, serverPort, serverHost: 'changed' });
    expect(reply.status).toBe(422);
    expect(reply.json).toMatchObject({ detail: [{ loc: ['body', 'serverPort'] }] });
    expect((await stored(blockName)).data).toEqual(INITIAL);
  });

  it('names the missing block name, and does not repeat the password', async () => {
    const reply = await c.host.put(URL, { password: 'tell-nobody' });
    expect(reply.status).toBe(422);
    expect(reply.json).toMatchObject({ detail: [{ type: 'missing', loc: ['body', 'blockName'] }] });
    expect(reply.text).not.toContain('tell-nobody');
  });
});
