import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { DemoError, type Facade } from './facade.js';
import { flowRun, followRun } from './run.js';

export interface StoryOptions {
  write: (line: string) => void;
  /** Left to the facade's defaults where not given. */
  workPoolName?: string | undefined;
  workQueueName?: string | undefined;
  timeLimitMs?: number;
  pollIntervalMs?: number;
}

/** How to take back what a step made. */
export interface Undo {
  words: string;
  path: string;
}

const CRON = '0 3 * * *';
const LOGS_WITHIN_MS = 10_000;
const COMMANDS = [
  ['extract', "echo 'reading 3 rows'"],
  ['load', "echo 'wrote 3 rows'"],
] as const;

const deployment = z.object({ deploymentId: z.string(), cron: z.string(), isScheduleActive: z.boolean() });
const nodes = z.array(z.object({ label: z.string(), state_name: z.string().nullable() }));

/** One step, one line: mark, words, time. `done` may say more than `words`. */
export type Step = <T>(words: string, work: () => Promise<T>, done?: (result: T) => string) => Promise<T>;

/** The steps of the demo. What it makes is put into `undo`, newest last. */
export async function story(facade: Facade, options: StoryOptions, step: Step, undo: Undo[]): Promise<void> {
  const { write } = options;
  const org = `demo-${randomBytes(4).toString('hex')}`;
  const detail = (text: string) => {
    write(`    ${text}`);
  };

  await step(
    'reach Prefect through the facade',
    () => facade.call(z.string(), 'GET', '/proxy/prefect/version'),
    (version) => `reach Prefect ${version} through the facade`,
  );

  const secret = { blockName: `${org}-secret`, secret: randomBytes(12).toString('hex') };
  await step('make a secret block', async () => {
    const shape = z.object({ block_id: z.string(), block_name: z.string() });
    const { block_id } = await facade.call(shape, 'POST', '/proxy/blocks/secret/', secret);
    undo.push({ words: 'the secret block', path: `/delete-a-block/${block_id}` });
  });

  const id = await step(`make a deployment of ${org}, every day at 3`, async () => {
    const shape = z.object({ deployment: z.object({ id: z.string() }) });
    const made = await facade.call(shape, 'POST', '/proxy/v1/deployments/', {
      flow_name: 'deployment_schedule_flow_v5',
      deployment_name: `${org}-pipeline`,
      org_slug: org,
      deployment_params: { config: { org_slug: org, tasks: tasks() } },
      cron: CRON,
      ...(options.workPoolName !== undefined && { work_pool_name: options.workPoolName }),
      ...(options.workQueueName !== undefined && { work_queue_name: options.workQueueName }),
    });
    undo.push({ words: 'the deployment', path: `/proxy/deployments/${made.deployment.id}` });
    return made.deployment.id;
  });

  const runId = await step('start a run of it', async () => {
    const shape = z.object({ flow_run_id: z.string(), name: z.string() });
    const made = await facade.call(shape, 'POST', `/proxy/deployments/${id}/flow_run`, {});
    undo.push({ words: 'the run', path: `/proxy/flow_runs/${made.flow_run_id}` });
    return made.flow_run_id;
  });
  await step('follow the run to its end', () =>
    followRun(facade, runId, {
      timeLimitMs: options.timeLimitMs ?? 120_000,
      intervalMs: options.pollIntervalMs ?? 250,
      workPoolName: options.workPoolName,
      onState: detail,
    }),
  );

  const graph = await step('read the graph', () =>
    facade.call(nodes, 'GET', `/proxy/flow_runs/graph/${runId}`),
  );
  for (const { label, state_name } of graph) detail(`${label}: ${state_name ?? 'no state'}`);

  await step('read the logs', async () => {
    const shape = z.object({ logs: z.array(z.object({ message: z.string() })) });
    const wanted = COMMANDS.map(([, command]) => command.slice("echo '".length, -1));
    // Prefect takes logs in batches: the last ones come after the run has ended.
    for (const until = Date.now() + LOGS_WITHIN_MS; ;) {
      const { logs } = await facade.call(shape, 'GET', `/proxy/flow_runs/logs/${runId}`);
      const missing = wanted.find((text) => !logs.some(({ message }) => message.includes(text)));
      if (missing === undefined) break;
      if (Date.now() > until) throw new DemoError(`no log line says: ${missing}`);
      await sleep(options.pollIntervalMs ?? 250);
    }
    for (const text of wanted) detail(text);
  });

  await step('find the run in the list of runs', async () => {
    const shape = z.object({ flow_runs: z.array(flowRun.pick({ id: true })) });
    const { flow_runs } = await facade.call(shape, 'GET', `/proxy/flow_runs?deployment_id=${id}`);
    if (!flow_runs.some((run) => run.id === runId)) throw new DemoError('the list does not hold the run');
  });

  for (const [status, words] of [
    ['inactive', 'pause the schedule'],
    ['active', 'resume the schedule'],
  ] as const) {
    await step(words, async () => {
      await facade.call(z.unknown(), 'POST', `/proxy/deployments/${id}/set_schedule/${status}`);
      const now = await facade.call(deployment, 'GET', `/proxy/deployments/${id}`);
      if (now.isScheduleActive !== (status === 'active') || now.cron !== CRON) {
        throw new DemoError(`the deployment says ${JSON.stringify(now)}`);
      }
    });
  }
}

function tasks(): object[] {
  return COMMANDS.map(([slug, command], index) => ({
    type: 'Shell Operation',
    slug,
    commands: [command],
    working_dir: '/tmp',
    env: {},
    seq: index + 1,
  }));
}
