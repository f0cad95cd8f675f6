import { describe, expect, it } from 'vitest';
import { contract, lastUpstreamCalls } from '../support/contract.js';
import { startFacade } from '../support/facade.js';
import { Host, type Reply } from '../support/host.js';

const c = contract();
const URL = '/proxy/blocks/secret/';
const FAILED = 'failed to prefect secret block';

interface Block {
  id: string;
  name: string;
  is_anonymous: boolean;
  data: { value: unknown };
}

async function stored(name: string, withSecrets = true): Promise<Block> {
  const path = `/block_types/slug/secret/block_documents/name/${name}?include_secrets=${String(withSecrets)}`;
  return (await c.seed.call('GET', path)) as Block;
}

const refusal = ({ status, json }: Reply) => {
  const { detail, code } = json as { detail: unknown; code: string };
  return [status, detail, code];
};

describe.each(['post', 'put'] as const)('%s /proxy/blocks/secret/', (method) => {
  const save = (blockName: string, secret: string) => c.host[method](URL, { blockName, secret });

  it('makes a block whose value is hidden', async () => {
    const name = c.seed.name(`made-${method}`);
    const reply = await save(name, 'p@ss 1');
    const block = await stored(name);
    expect([reply.status, reply.text]).toEqual([
      200,
      JSON.stringify({ block_id: block.id, block_name: name }),
    ]);
    expect(block).toMatchObject({ name, is_anonymous: false, data: { value: 'p@ss 1' } });
    expect((await stored(name, false)).data.value).toBe('********');
  });

  it('overwrites: the id stays', async () => {
    const name = c.seed.name(`again-${method}`);
    const first = await save(name, 'first');
    const second = await save(name, 'second');
    expect(second.text).toBe(first.text);
    expect((await stored(name)).data.value).toBe('second');
  });

  it('cleans the name', async () => {
    const reply = await save(`Ä My_Key/%?.😀 ${c.seed.suffix}-${method}`, 'v');
    const name = `mykey${c.seed.suffix}-${method}`;
    expect(reply.json).toEqual({ block_id: (await stored(name)).id, block_name: name });
  });

  it.each(['', '😀', 'ÄÖÜ _/'])('refuses the name %j', async (blockName) => {
    expect(refusal(await save(blockName, 'v'))).toEqual([400, FAILED, 'bad_request']);
    expect(lastUpstreamCalls(c.facade)).toBe(0);
  });

  it.each([
    ['an empty object', {}, ['missing', 'missing']],
    ['snake case', { block_name: 'x', secret: 'tell-nobody' }, ['missing']],
    ['a secret that is an object', { blockName: 'x', secret: { a: 'tell-nobody' } }, ['string_type']],
    ['a secret that is a list', { blockName: 'x', secret: ['tell-nobody'] }, ['string_type']],
    ['null as secret', { blockName: 'x', secret: null }, ['string_type']],
    ['a name that is a number', { blockName: 7, secret: 'tell-nobody' }, ['string_type']],
    ['null', null, ['missing']],
    ['a list', [1], ['model_attributes_type']],
  ])('refuses %s', async (_label, body, types) => {
    const reply = await c.host[method](URL, body);
    expect(reply.status).toBe(422);
    const { detail } = reply.json as { detail: { type: string }[] };
    expect(detail.map(({ type }) => type)).toEqual(types);
    expect(lastUpstreamCalls(c.facade)).toBe(0);
    expect(reply.text).not.toContain('tell-nobody');
  });

  it('does not repeat a body of another content type', async () => {
    const raw = JSON.stringify({ blockName: 'x', secret: 'tell-nobody' });
    const headers = { 'content-type': 'text/plain' };
    const reply = await c.host.send(method === 'post' ? 'POST' : 'PUT', URL, { raw, headers });
    expect(reply.status).toBe(422);
    expect(reply.json).toMatchObject({ detail: [{ type: 'model_attributes_type', loc: ['body'] }] });
    expect(reply.text).not.toContain('tell-nobody');
  });

  it('is made once by two that make it at once', async () => {
    const name = c.seed.name(`rivals-${method}`);
    const replies = await Promise.all(['a', 'b'].map((value) => save(name, value)));
    expect(replies.map(({ status }) => status)).toEqual([200, 200]);
    expect(replies[0]!.text).toBe(replies[1]!.text);
    expect(['a', 'b']).toContain((await stored(name)).data.value);
  });
});

describe('GET /proxy/blocks/secret/{blockname}', () => {
  it('gives id and name, cleaned, and never the value', async () => {
    const name = c.seed.name('read');
    await c.host.post(URL, { blockName: name, secret: 'tell-nobody' });
    const body = JSON.stringify({ block_id: (await stored(name)).id, block_name: name });
    for (const path of [name, `${name.toUpperCase()}/`, `%C3%84${name}%20%3F%25.`]) {
      const reply = await c.host.get(URL + path);
      expect([reply.status, reply.text]).toEqual([200, body]);
      expect(lastUpstreamCalls(c.facade)).toBe(1);
    }
  });

  it.each([
    ['no-such', 'no-such'],
    ['No%20Such%21', 'nosuch'],
    ['..%3Fx=1', 'x1'],
    ['%F0%9F%98%80', ''],
    ['%3F', ''],
    ['x'.repeat(3000), 'x'.repeat(3000)],
  ])('has no secret %.20s', async (given, cleaned) => {
    for (const path of [URL + given, `${URL}${given}/contents`]) {
      const reply = await c.host.get(path);
      expect(refusal(reply)).toEqual([404, `no secret block named ${cleaned}`, 'not_found']);
    }
  });

  it.each(['a%2Fb', '..%2F..%2Fadmin'])('takes %s for another path', async (name) => {
    expect(refusal(await c.host.get(URL + name))).toEqual([404, 'Not Found', 'not_found']);
  });
});

describe('upstream calls of saving a secret', () => {
  it('looks the type up once: the first takes two calls more than the next', async () => {
    const facade = await startFacade(c.apiUrl);
    const host = new Host(facade.url);
    const calls = async (label: string) => {
      await host.post(URL, { blockName: c.seed.name(label), secret: 'v' });
      return lastUpstreamCalls(facade);
    };
    const spent = [await calls('count-1'), await calls('count-2'), await calls('count-2')];
    // SQLite answers 503 to writes at once, and each repetition is a call.
    if (c.mock) expect(spent).toEqual([4, 2, 2]);
    expect(spent[1]).toBeLessThan(spent[0]!);
    await host.close();
    await facade.close();
  });
});
