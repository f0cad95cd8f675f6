import { beforeAll, describe, expect, it } from 'vitest';
import { contract, lastUpstreamCalls } from '../support/contract.js';
import { startFacade } from '../support/facade.js';
import { Host, type Reply } from '../support/host.js';
import { loadConfig } from '../../src/config.js';

const c = contract();
const URL = '/proxy/v1/deployments/';
const FAILED = 'failed to create deployment';
const PARAMS = {
  config: {
    org_slug: 'acme',
    tasks: [{ slug: 'git-pull', commands: [`a 'b' "c"`], env: { K: 'v' }, seq: 1 }],
  },
};
type Json = Record<string, unknown>;
let pool = '';

beforeAll(async () => {
  pool = await c.seed.pool();
});

/** What a host sends to create a deployment. */
function request(label: string, fields: Json = {}): Json {
  return {
    flow_name: 'pipeline',
    deployment_name: c.seed.name(label),
    org_slug: c.seed.name('org'),
    deployment_params: PARAMS,
    work_pool_name: pool,
    ...fields,
  };
}

async function create(label: string, fields: Json = {}): Promise<Json> {
  const reply = await c.host.post(URL, request(label, fields));
  expect([reply.status, reply.text]).toEqual([200, expect.any(String)]);
  return stored((reply.json as { deployment: { id: string } }).deployment.id);
}

const stored = async (id: unknown) => (await c.seed.call('GET', `/deployments/${String(id)}`)) as Json;

/** The deployments of a name, whoever they belong to. */
async function named(name: unknown): Promise<Json[]> {
  const filter = { deployments: { name: { any_: [name] } } };
  return (await c.seed.call('POST', '/deployments/filter', filter)) as Json[];
}

const refusal = ({ status, json }: Reply) => {
  const { detail, code } = json as { detail: unknown; code: string };
  return [status, detail, code];
};

describe('POST /proxy/v1/deployments/', () => {
  it('answers with id, name and params', async () => {
    const body = request('reply', { cron: '0 1 * * *' });
    const reply = await c.host.post(URL, body);
    const name = c.seed.name('reply');
    const [{ id } = {}] = await named(name);
    expect([reply.status, reply.text]).toEqual([
      200,
      JSON.stringify({ deployment: { id, name, params: PARAMS } }),
    ]);
    // SQLite answers 503 to writes at once, and each repetition is a call.
    if (c.mock) expect(lastUpstreamCalls(c.facade)).toBe(3);
  });

  it('makes what `prefect deploy` would have made', async () => {
    const made = await create('effect', { cron: '0 1 * * *' });
    const flow = await c.seed.call('GET', `/flows/${String(made['flow_id'])}`);
    expect(flow).toMatchObject({ name: 'deployment-schedule-flow-v5' });
    expect(made).toMatchObject({
      name: c.seed.name('effect'),
      tags: [c.seed.name('org')],
      entrypoint: 'pipeline.py:deployment_schedule_flow_v5',
      pull_steps: [
        { 'prefect.deployments.steps.set_working_directory': { directory: loadConfig({}).FLOWS_PATH } },
      ],
      parameters: PARAMS,
      enforce_parameter_schema: true,
      parameter_openapi_schema: {
        properties: { config: {}, dbt_blocks: {}, airbyte_blocks: {} },
        required: ['config'],
      },
      work_pool_name: pool,
      work_queue_name: 'ddp',
      job_variables: {},
      concurrency_limit: null,
      paused: false,
    });
    expect(made['schedules']).toEqual([
      expect.objectContaining({
        active: true,
        schedule: { cron: '0 1 * * *', timezone: null, day_or: true },
      }),
    ]);
  });

  it.each([
    ['absent', {}],
    ['null', { cron: null }],
    ['empty', { cron: '' }],
  ])('makes no schedule where cron is %s', async (label, fields) => {
    expect((await create(`no-cron-${label}`, fields))['schedules']).toEqual([]);
  });

  it.each(['*/5 * * * *', '0 0 1 1 *', '30 2 * * 1-5', '0 9 * * MON', '@daily'])(
    'takes the cron %s',
    async (cron) => {
      const made = await create(`cron-${cron.replaceAll(/\W/g, '')}`, { cron });
      expect(made['schedules']).toMatchObject([{ active: true, schedule: { cron } }]);
    },
  );

  it('puts it into the queue given', async () => {
    const made = await create('queue', { work_queue_name: c.seed.name('queue') });
    expect(made).toMatchObject({ work_pool_name: pool, work_queue_name: c.seed.name('queue') });
  });

  it.each([
    ['ü ✓ 😀', 'unicode'],
    ["it's [a] (name)?#", 'signs'],
    ['x'.repeat(500), 'long'],
  ])('takes the name %.20s', async (name, label) => {
    const deployment_name = `${name} ${c.seed.suffix}`;
    expect(await create(label, { deployment_name })).toMatchObject({ name: deployment_name });
  });

  it("overwrites the organisation's own deployment of that name", async () => {
    const first = await create('twice', { cron: '0 1 * * *' });
    const second = await create('twice', { deployment_params: { config: { v: 2 } }, cron: '0 2 * * *' });
    expect(second['id']).toBe(first['id']);
    expect(second['parameters']).toEqual({ config: { v: 2 } });
    expect(second['schedules']).toMatchObject([{ schedule: { cron: '0 2 * * *' } }]);
  });

  it('switches its own deployment on again', async () => {
    const { id } = await create('again', { cron: '0 1 * * *' });
    await c.host.post(`/proxy/deployments/${String(id)}/set_schedule/inactive`, {});
    expect(await create('again', { cron: '0 2 * * *' })).toMatchObject({
      id,
      paused: false,
      schedules: [{ active: true, schedule: { cron: '0 2 * * *' } }],
    });
  });

  it("leaves another organisation's deployment of that name alone", async () => {
    const theirs = await create('theirs', { cron: '0 1 * * *' });
    const fields = { org_slug: c.seed.name('intruder'), deployment_params: { config: { v: 2 } } };
    const reply = await c.host.post(URL, request('theirs', fields));
    expect(refusal(reply)).toEqual([409, FAILED, 'conflict']);
    expect(await named(theirs['name'])).toMatchObject([
      { id: theirs['id'], tags: theirs['tags'], parameters: PARAMS, schedules: theirs['schedules'] },
    ]);
  });
});

describe('POST /proxy/v1/deployments/, configured', () => {
  it('goes to the default pool where none is given', async () => {
    const known = await fetch(`${c.apiUrl}/work_pools/default-agent-pool`);
    const reply = await c.host.post(URL, request('no-pool', { work_pool_name: null }));
    if (known.ok) {
      expect(await named(c.seed.name('no-pool'))).toMatchObject([{ work_pool_name: 'default-agent-pool' }]);
    } else {
      expect(refusal(reply)).toEqual([404, FAILED, 'not_found']);
      expect(await named(c.seed.name('no-pool'))).toEqual([]);
    }
  });

  it('takes pool, queue, entrypoint and repository from the configuration', async () => {
    const facade = await startFacade(c.apiUrl, {
      DEFAULT_WORK_POOL_NAME: pool,
      DEFAULT_WORK_QUEUE_NAME: c.seed.name('own'),
      FLOWS_ENTRYPOINT: `flows/own.py:${c.seed.name('own_flow').replaceAll('-', '_')}`,
      FLOWS_GIT_URL: 'https://git.example/flows.git',
      PREFECT_PROXY_GIT_BRANCH: 'next',
    });
    const host = new Host(facade.url);
    const body = request('configured', { work_pool_name: undefined });
    const reply = await host.post(URL, body);
    await host.close();
    await facade.close();
    expect(reply.status).toBe(200);
    const [made] = await named(c.seed.name('configured'));
    expect(made).toMatchObject({
      work_pool_name: pool,
      work_queue_name: c.seed.name('own'),
      entrypoint: `flows/own.py:own_flow_${c.seed.suffix}`,
      pull_steps: [
        {
          'prefect.deployments.steps.git_clone': {
            repository: 'https://git.example/flows.git',
            branch: 'next',
          },
        },
      ],
    });
    const flow = await c.seed.call('GET', `/flows/${String(made!['flow_id'])}`);
    expect(flow).toMatchObject({ name: c.seed.name('own-flow') });
  });
});
