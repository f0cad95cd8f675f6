import { loadConfig } from '../../src/config.js';
import { run } from '../../src/process/run.js';

/** `serve` without settlement, in a project's root of its own. */
const { ROOT = '', ...env } = process.env;
process.exit(await run({ config: loadConfig(env), givenEnv: env, root: ROOT }));
