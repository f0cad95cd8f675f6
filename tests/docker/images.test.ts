import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parse as parseDotenv } from 'dotenv';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../../bench/lib/servers.js';
import { findPostgres, Postgres } from '../support/postgres.js';
import { environmentOf, loadCompose, type Service } from './compose.js';
import { Container, protect, unprotect } from './container.js';
import { buildImage, type Image } from './image.js';

/**
 * The stack of docker-compose.dev.yml without Docker: the lines of both Dockerfiles make two folders, and the containers'
 * processes run on them, with the environment of the compose file and a real PostgreSQL.
 */
const project = new URL('../..', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'prefect-proxy-images-'));
const dotenvFile = join(folder, '.env');
const containers: Container[] = [];

/** A project that dbt reads with a profile of each warehouse; reading connects to none. */
const DBT_PROJECT = {
  'dbt_project.yml': '{name: shop, profile: shop}',
  'models/orders.sql': 'select 1 as id',
  'postgres/profiles.yml':
    'shop: {target: a, outputs: {a: {type: postgres, host: h, port: 1, user: u, password: p, dbname: d, schema: s}}}',
  'bigquery/profiles.yml':
    'shop: {target: a, outputs: {a: {type: bigquery, method: oauth, project: p, dataset: d}}}',
};

let facadeImage: Image;
let workerImage: Image;
let services: Record<string, Service>;
let keys: Record<string, string>;
let places: [string, string][];
let prefectUrl: string;
let facadeUrl: string;
let server: Container;
let facade: Container;

beforeAll(async () => {
  const make = (name: string, target: string) => {
    mkdirSync(join(folder, target));
    return buildImage({
      project,
      dockerfile: join(project, 'docker', name),
      target,
      folder: join(folder, target),
      args: { BUILD_VERSION: '1.2.3' },
    });
  };
  [facadeImage, workerImage] = await Promise.all([
    make('Dockerfile', 'facade'),
    make('Dockerfile.worker', 'worker'),
  ]);

  execFileSync(join(project, 'docker', 'make-env'), [dotenvFile], { stdio: 'ignore' });
  keys = parseDotenv(readFileSync(dotenvFile));
  services = loadCompose(join(project, 'docker', 'docker-compose.dev.yml'), {
    ...keys,
    PREFECT_WORK_QUEUE1_CONCURRENCY_LIMIT: '3',
  });
  protect(facadeImage, mounts('facade'));
  protect(workerImage, [...mounts('prefect-server'), ...mounts('worker-ddp')]);

  const programs = findPostgres();
  if (programs === undefined) throw new Error('PostgreSQL is needed');
  const database = (await Postgres.start(programs)).createDatabase().replace('+asyncpg', '');
  const [prefectPort, facadePort] = [await freePort(), await freePort()];
  prefectUrl = `http://127.0.0.1:${prefectPort}/api`;
  facadeUrl = `http://127.0.0.1:${facadePort}`;
  // What the names of the compose file's network are here.
  places = [
    [services['prefect-server']!.environment['DB_CONNECTION_URL']!, `${database}?sslmode=prefer`],
    ['http://prefect-server:4200', `http://127.0.0.1:${prefectPort}`],
    ['http://facade:8080', facadeUrl],
  ];
  server = start('prefect-server', workerImage, {
    PREFECT_SERVER_API_HOST: '127.0.0.1',
    PREFECT_SERVER_API_PORT: String(prefectPort),
  });
  const check = services['prefect-server']!.healthcheck!.test.slice(1).map((word) =>
    word.replace('4200', String(prefectPort)),
  );
  await server.until('the server is healthy', () => server.isHealthy(check));
});

afterAll(async () => {
  await Promise.all(containers.map((container) => container.remove()));
  unprotect(folder);
  rmSync(folder, { recursive: true, force: true });
});

describe('the images', () => {
  test('skip nothing here but what only root does on a base image', () => {
    expect(facadeImage.skipped).toEqual([]);
    expect(workerImage.skipped.map((line) => line.split(' ')[0])).toEqual(['apt-get', 'useradd']);
  });

  test('run as a user and carry their version', () => {
    for (const image of [facadeImage, workerImage]) {
      expect(image.user).toBe('1000:1000');
      expect(image.labels['org.opencontainers.image.version']).toBe('1.2.3');
    }
  });

  test('have no tools of development, no tests', () => {
    const packages = join(facadeImage.root, 'app', 'node_modules');
    expect(['hono', 'undici'].map((name) => existsSync(join(packages, name)))).toEqual([true, true]);
    expect(['vitest', 'typescript', 'esbuild'].map((name) => existsSync(join(packages, name)))).toEqual([
      false,
      false,
      false,
    ]);
    expect(existsSync(join(workerImage.root, 'opt', 'flows', 'pipeline.py'))).toBe(true);
    expect(existsSync(join(workerImage.root, 'opt', 'flows', 'tests'))).toBe(false);
  });

  test('agree on where the flows are', () => {
    expect(facadeImage.env['FLOWS_PATH']!.replace(facadeImage.root, '')).toBe('/opt/flows');
  });
});

describe('the stack', () => {
  let worker: Container;

  test('two workers that start at once make the pool and its queues', async () => {
    const workers = [await startWorker('worker-ddp'), await startWorker('worker-manual-dbt')];
    worker = workers[0]!.container;
    await Promise.all(
      workers.map(({ container, check }) => container.until('it polls', () => container.isHealthy(check))),
    );
    expect(await prefect('GET', '/work_pools/dalgo_work_pool')).toMatchObject({ type: 'process' });
    expect(await limits()).toEqual({ ddp: 3, 'manual-dbt': null });
  });

  test('the facade answers, and its health check says so', async () => {
    facade = start('facade', facadeImage, {
      PREFECT_PROXY_API_HOST: '127.0.0.1',
      PREFECT_PROXY_API_PORT: new URL(facadeUrl).port,
      LOGDIR: 'logs',
    });
    await facade.until('it is healthy', () => facade.isHealthy(facadeImage.healthcheck));
    expect(existsSync(join(facadeImage.root, 'app', 'logs', 'prefect-proxy.log'))).toBe(true);
  });

  test('the commands of the README run in the container of the facade', async () => {
    expect(await facade.isHealthy(['npx', 'prefect-proxy', 'deliveries', 'list'])).toBe(true);
  });

  test('a run that is started at the facade ends at the worker, with dbt, edr and git at hand', async () => {
    const data = join(workerImage.root, 'data');
    for (const [name, text] of Object.entries(DBT_PROJECT)) {
      mkdirSync(join(data, 'shop', dirname(name)), { recursive: true });
      writeFileSync(join(data, 'shop', name), text);
    }
    chmodSync(join(data, 'shop'), 0o777);
    const run = await startRun('tools', [
      'dbt --version',
      'edr --version',
      'git --version',
      `cd ${data}/shop`,
      ...['postgres', 'bigquery'].map((kind) => `dbt parse --profiles-dir ${kind} --no-partial-parse`),
      `echo kept > ${data}/kept`,
    ]);
    await worker.until('the run ends', () => isTerminal(run));
    expect(await stateOf(run)).toBe('COMPLETED');
    expect(readFileSync(join(data, 'kept'), 'utf8')).toBe('kept\n');
  });

  test('a worker that is stopped ends its runs first, so that they report it', async () => {
    const mark = join(workerImage.root, 'data', 'runs');
    const run = await startRun('long', [`echo $$ > ${mark}`, 'sleep 300']);
    await worker.until('the command runs', () => existsSync(mark));
    expect(await worker.stop()).toBe(0);
    expect(await stateOf(run)).toBe('CRASHED');
    expect(() => process.kill(Number(readFileSync(mark, 'utf8')), 0)).toThrow('ESRCH');
  });

  test('a limit that is not set any more is taken away at the next start', async () => {
    services['worker-ddp']!.environment['PREFECT_WORK_QUEUE1_CONCURRENCY_LIMIT'] = '';
    services['worker-ddp']!.environment['PREFECT_WORK_QUEUE2_CONCURRENCY_LIMIT'] = '1';
    const { container: again } = await startWorker('worker-ddp');
    await again.until('the queues are as they should be', async () => {
      const now = await limits();
      return now['ddp'] === null && now['manual-dbt'] === 1;
    });
  });

  test('facade and server end with SIGTERM', async () => {
    expect(await facade.stop()).toBe(0);
    // uvicorn shuts down, and then ends by the signal that it got.
    expect(await server.stop()).toBe('SIGTERM');
  });
});

function start(service: string, image: Image, over: Record<string, string>): Container {
  const given = environmentOf(services[service]!, readFileSync(dotenvFile, 'utf8'));
  const env = Object.fromEntries(
    Object.entries(given).map(([name, value]) => [
      name,
      places.reduce((text, [from, to]) => text.replace(from, to), value),
    ]),
  );
  // Deployments of this facade must name the folder that stands for the worker's.
  if (image === facadeImage) env['FLOWS_PATH'] = join(workerImage.root, 'opt', 'flows');
  const container = new Container({ image, env: { ...env, ...over }, command: services[service]!.command });
  containers.push(container);
  return container;
}

/** A worker, and its health check on the port that it has here. */
async function startWorker(service: string): Promise<{ container: Container; check: string[] }> {
  const port = String(await freePort());
  const check = workerImage.healthcheck.map((word) => word.replace('8080', port));
  return { container: start(service, workerImage, { PREFECT_WORKER_WEBSERVER_PORT: port }), check };
}

/** Where the compose file lets a container write. */
function mounts(service: string): string[] {
  const { volumes, tmpfs } = services[service]!;
  const writable = volumes
    .filter((volume) => !volume.endsWith(':ro'))
    .map((volume) => volume.split(':')[1] ?? '');
  return [...writable, ...tmpfs.map((mount) => mount.split(':')[0] ?? '')];
}

async function prefect(method: string, path: string, body?: unknown): Promise<unknown> {
  const login = Buffer.from(keys['PREFECT_API_AUTH_STRING']!).toString('base64');
  return json(`${prefectUrl}${path}`, method, { authorization: `Basic ${login}` }, body);
}

async function json(
  url: string,
  method: string,
  headers: Record<string, string>,
  body?: unknown,
): Promise<unknown> {
  const reply = await fetch(url, {
    method,
    headers: { 'content-type': 'application/json', ...headers },
    body: body === undefined ? null : JSON.stringify(body),
  });
  if (!reply.ok) throw new Error(`${reply.status} ${url}: ${await reply.text()}`);
  return reply.json();
}

async function limits(): Promise<Record<string, number | null>> {
  const queues = (await prefect('POST', '/work_pools/dalgo_work_pool/queues/filter', {})) as {
    name: string;
    concurrency_limit: number | null;
  }[];
  return Object.fromEntries(
    queues.filter(({ name }) => name !== 'default').map((queue) => [queue.name, queue.concurrency_limit]),
  );
}

async function ask(path: string, body: unknown): Promise<Record<string, unknown>> {
  return (await json(
    `${facadeUrl}${path}`,
    'POST',
    { authorization: `Bearer ${keys['PROXY_API_KEY']!}` },
    body,
  )) as Record<string, unknown>;
}

/** Deploys a shell task at the facade and starts it. @returns the run's id */
async function startRun(name: string, commands: string[]): Promise<string> {
  const task = { type: 'Shell Operation', slug: name, commands, working_dir: '/tmp', env: {}, seq: 1 };
  const { deployment } = (await ask('/proxy/v1/deployments/', {
    flow_name: 'pipeline',
    deployment_name: name,
    org_slug: 'acme',
    deployment_params: { config: { org_slug: 'acme', tasks: [task] } },
  })) as { deployment: { id: string } };
  return String((await ask(`/proxy/deployments/${deployment.id}/flow_run`, {}))['flow_run_id']);
}

async function stateOf(run: string): Promise<string> {
  return ((await prefect('GET', `/flow_runs/${run}`)) as { state_type: string }).state_type;
}

async function isTerminal(run: string): Promise<boolean> {
  return ['COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED'].includes(await stateOf(run));
}
