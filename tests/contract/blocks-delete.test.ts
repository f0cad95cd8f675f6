import { Agent } from 'undici';
import { describe, expect, it } from 'vitest';
import { contract, lastUpstreamCalls } from '../support/contract.js';

const c = contract();
const UNKNOWN = '00000000-0000-4000-8000-000000000000';

async function secret(label: string): Promise<string> {
  const body = { blockName: c.seed.name(label), secret: 'v' };
  const reply = await c.host.post('/proxy/blocks/secret/', body);
  return (reply.json as { block_id: string }).block_id;
}

const status = async (path: string) => (await fetch(c.apiUrl + path)).status;

describe('DELETE /delete-a-block/{block_id}', () => {
  it.each(['', '/'])('deletes the block of that id (path ending in "%s")', async (end) => {
    const id = await secret('gone');
    const reply = await c.host.delete(`/delete-a-block/${id}${end}`);
    expect([reply.status, reply.text]).toEqual([200, 'null']);
    expect(await status(`/block_documents/${id}`)).toBe(404);
  });

  it('deletes a block once', async () => {
    const id = await secret('once');
    await c.host.delete(`/delete-a-block/${id}`);
    expect((await c.host.delete(`/delete-a-block/${id}`)).status).toBe(404);
  });

  it('deletes blocks of other types', async () => {
    const fields = { serverHost: 'h', serverPort: '1', apiVersion: 'v1' };
    const blockName = c.seed.name('server');
    const reply = await c.host.post('/proxy/blocks/airbyte/server/', { blockName, ...fields });
    const { block_id: id } = reply.json as { block_id: string };
    expect((await c.host.delete(`/delete-a-block/${id}`)).status).toBe(200);
    expect((await c.host.get(`/proxy/blocks/airbyte/server/${blockName}`)).json).toEqual({ block_id: null });
  });

  it("answers an unknown id with the orchestrator's own text", async () => {
    const reply = await c.host.delete(`/delete-a-block/${UNKNOWN}`);
    expect(reply.status).toBe(404);
    expect(reply.json).toMatchObject({
      detail: '{"detail":"Block document not found"}',
      code: 'not_found',
      upstream: 'Block document not found',
    });
  });

  it.each(['x', '..%3F', 'filter', '%F0%9F%98%80', '%20', `${UNKNOWN}0`, 'x'.repeat(3000)])(
    'never asks the orchestrator about %.20s',
    async (id) => {
      const reply = await c.host.delete(`/delete-a-block/${id}`);
      expect(reply.status).toBe(404);
      expect(reply.json).toMatchObject({ code: 'not_found' });
      expect(lastUpstreamCalls(c.facade)).toBe(0);
    },
  );

  it('deletes nothing by an id with something behind it', async () => {
    const id = await secret('behind');
    for (const tail of ['%3Fx=1', '%23', '%2Fx', '%00', '%20', '%253F']) {
      const reply = await c.host.delete(`/delete-a-block/${id}${tail}`);
      expect([tail, reply.status]).toEqual([tail, 404]);
    }
    expect(await status(`/block_documents/${id}`)).toBe(200);
  });

  it.each([`..%2Fdeployments%2F${UNKNOWN}`, 'a%2Fb', '..%2F..'])('takes %s for another path', async (id) => {
    const reply = await c.host.delete(`/delete-a-block/${id}`);
    expect([reply.status, reply.json]).toEqual([404, expect.objectContaining({ detail: 'Not Found' })]);
  });

  it.each(['..', '.', '%2e%2e'])('takes %s, sent as it is, for no id', async (segment) => {
    // Not by URL: that would resolve the dots before they are sent.
    const agent = new Agent();
    const path = `/delete-a-block/${segment}`;
    const reply = await agent.request({ origin: c.facade.url, method: 'DELETE', path });
    await reply.body.dump();
    await agent.close();
    expect(reply.statusCode).toBe(404);
    expect(lastUpstreamCalls(c.facade)).toBe(0);
  });

  it('has no other method', async () => {
    const reply = await c.host.put(`/delete-a-block/${UNKNOWN}`);
    expect([reply.status, reply.headers['allow']]).toEqual([405, 'DELETE']);
  });
});
