import { describe, expect, it } from 'vitest';
import { contract, lastUpstreamCalls } from '../support/contract.js';

const c = contract();
const URL = '/proxy/blocks/secret/';

/** Saves a secret, and reads it as the host does. */
async function roundTrip(label: string, secret: string): Promise<string> {
  const blockName = c.seed.name(label);
  expect((await c.host.post(URL, { blockName, secret })).status).toBe(200);
  const reply = await c.host.get(`${URL}${blockName}/contents`);
  expect(reply.status).toBe(200);
  expect(reply.headers['content-type']).toContain('application/json');
  expect(lastUpstreamCalls(c.facade)).toBe(1);
  return reply.text;
}

describe('GET /proxy/blocks/secret/{blockname}/contents', () => {
  it.each([
    ['object', '{"a":1}'],
    ['nested', '{"k":{"l":[{},[],null,"ü"]},"b":false}'],
    ['number', '12'],
    ['negative', '-0.5'],
    ['big', '12345678901234567890'],
    ['bigger', '{"id":123456789012345678901234567890}'],
    ['float', '1.0'],
    ['exponent', '1e5'],
    ['floats', '[1.0]'],
    ['boolean', 'true'],
    ['null', 'null'],
    ['quoted', '"x"'],
    ['quoted-unicode', '"ü✓😀"'],
    ['empty-list', '[]'],
  ])('gives text that is JSON as that JSON (%s)', async (label, secret) => {
    expect(await roundTrip(label, secret)).toBe(secret);
  });

  it.each([
    ['empty', ''],
    ['plain', 'p@ss 1'],
    ['unicode', 'pä✓ 😀 \u2028'],
    ['control', 'tab\t newline\n "quoted" \\back'],
    ['broken', '{"a":1'],
    ['python', "{'a': 1}"],
    ['python-word', 'True'],
    ['nan', 'NaN'],
    ['leading-zero', '007'],
    ['hex', '0x10'],
    ['two-values', '1 2'],
    ['pem', '-----BEGIN KEY-----\nabc=\n-----END KEY-----\n'],
    ['markup', '<script>&amp;</script>'],
    ['stars', '********'],
  ])('gives other text as a JSON string (%s)', async (label, secret) => {
    expect(JSON.parse(await roundTrip(label, secret))).toBe(secret);
  });

  it.each([
    ['100 kB', 100_000],
    ['1 MB', 1_000_000],
  ])('holds a secret of %s', async (label, length) => {
    const secret = 'aü✓ "'.repeat(length / 5);
    const text = await roundTrip(label.replaceAll(/\W/g, '').toLowerCase(), secret);
    expect(JSON.parse(text) === secret).toBe(true);
  });

  it('gives a value that others stored as an object, with its numbers as they are', async () => {
    const name = c.seed.name('by-others');
    await c.host.post(URL, { blockName: name, secret: 'v' });
    const path = `/block_types/slug/secret/block_documents/name/${name}`;
    const { id } = (await c.seed.call('GET', path)) as { id: string };
    await fetch(`${c.apiUrl}/block_documents/${id}`, {
      method: 'PATCH',
      headers: { 'content-type': 'application/json' },
      body: '{"data":{"value":{"a":1.0,"b":[9007199254740993]}}}',
    });
    const reply = await c.host.get(`${URL}${name}/contents`);
    expect([reply.status, reply.text]).toEqual([200, '{"a":1.0,"b":[9007199254740993]}']);
  });
});

describe('secrets and the log', () => {
  it('logs neither what is saved nor what is read nor what is refused', async () => {
    const blockName = c.seed.name('logged');
    await c.host.post(URL, { blockName, secret: 'tell-nobody' });
    await c.host.get(`${URL}${blockName}/contents`);
    await c.host.post(URL, { blockName: 7, secret: 'tell-nobody' });
    await c.host.send('POST', URL, { raw: '{"secret":"tell-nobody"' });
    expect(c.facade.lines.length).toBeGreaterThan(3);
    expect(JSON.stringify(c.facade.lines)).not.toContain('tell-nobody');
  });
});
