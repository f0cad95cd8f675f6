import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { z } from 'zod';
import { startFacade } from '../support/facade.js';
import { startMockOrchestrator } from '../support/mock/index.js';
import { COMPLETED, RUNNING, Seed } from '../support/seed.js';

/*
 * Runs schemathesis, which makes requests from the OpenAPI document and checks what comes back, against a facade in front
 * of the mock orchestrator. Arguments: the program, and more arguments for it. It ends with the program's exit code.
 */
const KEY = 'schemathesis-key';
const [, , program = 'st', ...more] = process.argv;

const mock = await startMockOrchestrator();
const seed = new Seed(mock.url);
const pool = await seed.pool();
const ended = await seed.flowRun({ states: [RUNNING, COMPLETED] });
await seed.result(ended, [{ seq: 1, state_type: 'COMPLETED', result: ['done'] }]);
const facade = await startFacade(mock.url, {
  PROXY_API_KEY: KEY,
  PREFECT_NOTIFICATIONS_WEBHOOK_KEY: KEY,
  WEBHOOK_AUTO_REGISTER: 'false',
  DEFAULT_WORK_POOL_NAME: pool,
  HOST_WEBHOOK_URL: 'http://127.0.0.1:9/',
});

/** Ends the synchronous runs, as a worker would. */
const runs = z.array(z.object({ id: z.string(), state_type: z.string() }));
const ours = {
  flows: { name: { any_: ['run-one-task'] } },
  flow_runs: { state: { type: { any_: ['SCHEDULED'] } } },
};
let isWorking = false;
async function work(): Promise<void> {
  if (isWorking) return;
  isWorking = true;
  for (const { id } of runs.parse(await seed.call('POST', '/flow_runs/filter', ours))) {
    await seed.setState('flow_runs', id, RUNNING);
    await seed.result(id, [{ seq: 1, state_type: 'COMPLETED', result: ['done'] }]);
    await seed.setState('flow_runs', id, COMPLETED);
  }
  isWorking = false;
}
const worker = setInterval(() => void work(), 50);

const child = spawn(
  program.includes('/') ? resolve(program) : program,
  [
    '--config-file',
    new URL('schemathesis.toml', import.meta.url).pathname,
    '--no-color',
    'run',
    `${facade.url}/openapi.json`,
    '--url',
    facade.url,
    ...more,
  ],
  {
    // The configuration names its hooks by a path that is looked up in the working directory.
    cwd: new URL('.', import.meta.url).pathname,
    stdio: 'inherit',
    env: { ...process.env, PROXY_KEY: KEY, ENDED_RUN: ended },
  },
);
const code = await new Promise<number>((end) => {
  child.once('exit', (status) => {
    end(status ?? 1);
  });
});
clearInterval(worker);
for (const unexpected of mock.unexpected) process.stdout.write(`unexpected upstream: ${unexpected}\n`);
await facade.close();
await mock.close();
process.exit(mock.unexpected.length > 0 ? 1 : code);
