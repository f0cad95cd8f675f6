import cluster from 'node:cluster';
import { loadConfig } from '../../src/config.js';
import { run } from '../../src/process/run.js';
import { runWorker } from '../../src/process/worker.js';
import { Standby } from '../../src/services/settlement/standby.js';

/** `serve` with tasks that log what they are given. */
const readConfig = () => loadConfig(process.env);

if (cluster.isWorker) await runWorker(() => Promise.resolve(readConfig()));
else
  process.exitCode = await run({
    config: readConfig(),
    givenEnv: { ...process.env },
    root: '.',
    startTasks: (_config, logger) => ({
      hint: ({ flowRunId, stateId }) => {
        logger.info('hint', { pid: process.pid, flowRunId, stateId });
      },
      standby: new Standby(),
      listening: () => undefined,
      close: () => {
        logger.info('tasks closed');
        return Promise.resolve();
      },
    }),
  });
