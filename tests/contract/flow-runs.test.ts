import { describe, expect, it } from 'vitest';
import { parseJson } from '../../src/json.js';
import { contract, lastUpstreamCalls } from '../support/contract.js';
import { COMPLETED, RUNNING } from '../support/seed.js';

const c = contract();
const UNKNOWN = '00000000-0000-4000-8000-000000000000';

/** A run's text without the two times that are counted up to the moment of a reply. */
const still = (text: string) => text.replaceAll(/"estimated_\w+":[^,]+/g, '"estimated":0');

async function direct(id: string): Promise<string> {
  return (await fetch(`${c.apiUrl}/flow_runs/${id}`)).text();
}

/** A run whose parameters hold numbers that a JavaScript number would change. */
const NUMBERS = '{"one":1.0,"big":12345678901234567890,"small":0.1,"list":[2.0,[-3.0]]}';
async function runWithNumbers(): Promise<string> {
  const body = `{"flow_id":"${await c.seed.flow()}","parameters":${NUMBERS},"state":{"type":"COMPLETED"}}`;
  const headers = { 'content-type': 'application/json' };
  const reply = await fetch(`${c.apiUrl}/flow_runs/`, { method: 'POST', headers, body });
  return ((await reply.json()) as { id: string }).id;
}

describe('GET /proxy/flow_runs/{id}/poll', () => {
  it("passes the orchestrator's flow run on, byte for byte", async () => {
    const id = await c.seed.flowRun({ states: [COMPLETED], parameters: { big: 12345678901, text: 'ü✓' } });
    const reply = await c.host.get(`/proxy/flow_runs/${id}/poll`);
    expect(reply.status).toBe(200);
    expect(reply.headers['content-type']).toBe('application/json');
    expect(still(reply.text)).toBe(still(await direct(id)));
    if (c.mock) expect(lastUpstreamCalls(c.facade)).toBe(1);
  });

  it('does not harm numbers', async () => {
    const id = await runWithNumbers();
    const reply = await c.host.get(`/proxy/flow_runs/${id}/poll`);
    expect(parseJson(reply.text)).toHaveProperty('parameters', parseJson(NUMBERS));
  });

  it("keeps the run's own state name where a dbt test failed", async () => {
    const id = await c.seed.flowRun({ states: [COMPLETED] });
    await c.seed.taskRun(id, 'dbt-test', [{ type: 'COMPLETED', name: 'DBT_TEST_FAILED' }]);
    const reply = await c.host.get(`/proxy/flow_runs/${id}/poll`);
    expect(reply.json).toMatchObject({ id, state_name: 'Completed', state_type: 'COMPLETED' });
    expect(reply.json).not.toHaveProperty('status');
  });
});

describe('GET /proxy/flow_runs/{id}', () => {
  it('is the flow run with its status at the end', async () => {
    const id = await c.seed.flowRun({ states: [RUNNING], tags: ['acme'], parameters: { slug: 'a "b" ✓' } });
    const reply = await c.host.get(`/proxy/flow_runs/${id}`);
    expect(reply.status).toBe(200);
    expect(still(reply.text)).toBe(still((await direct(id)).replace(/}$/, ',"status":"RUNNING"}')));
  });

  it('does not harm numbers', async () => {
    const id = await runWithNumbers();
    const reply = await c.host.get(`/proxy/flow_runs/${id}`);
    expect(parseJson(reply.text)).toHaveProperty('parameters', parseJson(NUMBERS));
    expect(reply.json).toMatchObject({ status: 'COMPLETED' });
  });
});

describe('POST /proxy/flow_run/', () => {
  it('finds a run by its name', async () => {
    const name = c.seed.name(`a 'b' "c" 50%/ü`);
    const id = await c.seed.flowRun({ name, states: [RUNNING] });
    await c.seed.flowRun({ name: `${name} more` });
    const reply = await c.host.post('/proxy/flow_run/', { name, surprise: 1 });
    expect(reply.status).toBe(200);
    expect(still(reply.text)).toBe(
      still(`{"flow_run":${(await direct(id)).replace(/}$/, ',"status":"RUNNING"}')}}`),
    );
  });

  it('is one of several of the name', async () => {
    const name = c.seed.name('twice');
    const ids = [await c.seed.flowRun({ name }), await c.seed.flowRun({ name })];
    const reply = await c.host.post('/proxy/flow_run', { name });
    expect(ids).toContain((reply.json as { flow_run: { id: string } }).flow_run.id);
  });

  it.each(['no-such-run', '', ' '])('answers 400 where no run is called "%s"', async (name) => {
    const reply = await c.host.post('/proxy/flow_run/', { name });
    expect(reply.status).toBe(400);
    expect(reply.json).toMatchObject({ detail: 'no such flow run' });
  });

  it.each<[string, unknown, string, string[]]>([
    ['no name', {}, 'missing', ['body', 'name']],
    ['a number', { name: 7 }, 'string_type', ['body', 'name']],
    ['null', { name: null }, 'string_type', ['body', 'name']],
    ['no body', undefined, 'missing', ['body']],
    ['a list', ['x'], 'model_attributes_type', ['body']],
  ])('refuses %s', async (_, body, type, loc) => {
    const reply = await c.host.post('/proxy/flow_run/', body);
    expect(reply.status).toBe(422);
    expect(reply.json).toMatchObject({ detail: [{ type, loc }] });
  });
});

describe('DELETE /proxy/flow_runs/{id}', () => {
  it('deletes a run; from then on it is not found', async () => {
    const id = await c.seed.flowRun({ states: [COMPLETED] });
    const reply = await c.host.delete(`/proxy/flow_runs/${id}`);
    expect([reply.status, reply.text]).toEqual([200, '{"success":1}']);
    for (const path of ['', '/poll']) {
      const gone = await c.host.get(`/proxy/flow_runs/${id}${path}`);
      expect(gone.status).toBe(404);
      expect(gone.json).toMatchObject({ detail: `failed to fetch flow_run ${id}` });
    }
    expect((await c.host.delete(`/proxy/flow_runs/${id}`)).status).toBe(404);
    expect((await fetch(`${c.apiUrl}/flow_runs/${id}`)).status).toBe(404);
  });
});

const routes: [method: 'GET' | 'POST' | 'DELETE', path: string, body?: object][] = [
  ['GET', ''],
  ['GET', '/poll'],
  ['DELETE', ''],
  ['POST', '/retry', { minutes: 1 }],
];

describe('an id that no run has', () => {
  describe.each(routes)('%s /proxy/flow_runs/{id}%s', (method, path, body) => {
    it.each([UNKNOWN, 'not-a-uuid', '..%3F', `${UNKNOWN}%3Fx=1`])('%s answers 404', async (id) => {
      const reply = await c.host.send(method, `/proxy/flow_runs/${id}${path}`, { body });
      expect(reply.status).toBe(404);
      const detail = `failed to fetch flow_run ${decodeURIComponent(id)}`;
      expect(reply.json).toMatchObject({ detail, code: 'not_found' });
      if (id !== UNKNOWN) expect(lastUpstreamCalls(c.facade)).toBe(0);
    });
  });

  it('is no other resource where it holds an encoded slash', async () => {
    const reply = await c.host.get('/proxy/flow_runs/a%2Fb');
    expect([reply.status, (reply.json as { detail: string }).detail]).toEqual([404, 'Not Found']);
  });
});
