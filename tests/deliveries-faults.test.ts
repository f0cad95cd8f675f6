import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from '../src/config.js';
import { serve, type Facade } from '../src/serve.js';
import { Channel, DEFAULT_CHANNEL } from '../src/services/settlement/channel.js';
import { Host } from './support/host.js';
import { startMockOrchestrator, type MockOrchestrator, type RecordedCall } from './support/mock/index.js';
import { COMPLETED, Seed } from './support/seed.js';

const { labels: NOTED } = new Channel(DEFAULT_CHANNEL);

const PATH = '/proxy/v1/deliveries';
const logger = { info: () => {}, warn: () => {}, error: () => {}, close: () => Promise.resolve() };
let mock: MockOrchestrator;
let facade: Facade;
let host: Host;
let seed: Seed;
let since: string;
const ids: string[] = [];
const hinted: string[] = [];

beforeAll(async () => {
  mock = await startMockOrchestrator();
  const env = { PREFECT_API_RETRY: 'false', HOST_WEBHOOK_URL: 'http://127.0.0.1:9/' };
  const config = { ...loadConfig(env), PREFECT_API_URL: mock.url };
  facade = await serve({ config, logger, port: 0, hint: ({ flowRunId }) => hinted.push(flowRunId) });
  host = new Host(facade.url);
  seed = new Seed(mock.url);
  for (let n = 0; n < 30; n += 1) ids.push(await seed.flowRun({ states: [COMPLETED] }));
  since = (await read(ids[0]!)).end_time;
});
beforeEach(async () => {
  mock.reset();
  for (const id of ids) {
    await seed.call('PATCH', `/flow_runs/${id}/labels`, { [NOTED.settled]: (await read(id)).state.id });
  }
  mock.reset();
  hinted.length = 0;
});
afterAll(async () => {
  await host.close();
  await facade.close();
  await mock.close();
});

const read = async (id: string) =>
  (await seed.call('GET', `/flow_runs/${id}`)) as { end_time: string; state: { id: string } };
const recover = () => host.post(`${PATH}/recover`, { since, state: 'all' });
const isWriteTo = (id: string, { method, path }: RecordedCall) =>
  method === 'PATCH' && path === `/flow_runs/${id}/labels`;

describe('Telling the host again', () => {
  it('writes few labels at a time', async () => {
    expect(await recover()).toMatchObject({ status: 200, json: { found: 30, replayed: 30 } });
    expect(mock.maxInFlight()).toBeLessThanOrEqual(4);
    expect([...hinted].sort()).toEqual([...ids].sort());
  });
});

describe('Where the orchestrator fails', () => {
  it.each([
    ['a reset', 'reset', 503],
    ['500', { status: 500, body: '{}' }, 502],
    ['503', { status: 503, body: '{}' }, 503],
    ['404', { status: 404, body: '{"detail":"no"}' }, 404],
  ] as const)('at a replay, with %s: no hint', async (_, fault, status) => {
    for (const method of ['GET', 'PATCH']) {
      mock.reset();
      mock.fault((call) => (call.method === method ? fault : undefined));
      expect(await host.post(`${PATH}/${ids[0]!}/replay`)).toMatchObject({
        status,
        json: { detail: `failed to replay the delivery of flow_run ${ids[0]!}` },
      });
    }
    expect(hinted).toEqual([]);
  });

  it('at one write of many: an error, and the others are told; again, and all are', async () => {
    mock.fault((call) => (isWriteTo(ids[3]!, call) ? { status: 503, body: '{}' } : undefined));
    expect(await recover()).toMatchObject({ status: 503, json: { detail: 'failed to recover deliveries' } });
    expect([...hinted].sort()).toEqual(ids.filter((id) => id !== ids[3]).sort());
    mock.reset();
    expect(await recover()).toMatchObject({ status: 200, json: { found: 30, replayed: 30 } });
    expect(hinted).toContain(ids[3]);
  });

  it('a run that is deleted meanwhile is left out', async () => {
    mock.fault((call) => (isWriteTo(ids[3]!, call) ? { status: 404, body: '{"detail":"no"}' } : undefined));
    expect(await recover()).toMatchObject({ status: 200, json: { found: 30, replayed: 29 } });
    expect(hinted).not.toContain(ids[3]);
  });
});
