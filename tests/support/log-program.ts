import { createLogger } from '../../src/logger.js';
import { lineWriters } from '../../src/process/local/progress.js';

/** Writes a text in each of the ways in which text from outside reaches a console. */
const [text = ''] = process.argv.slice(2);
const logger = createLogger({ level: 'info', readable: process.env['READABLE'] === 'true' });
const { say } = lineWriters(logger.print);
logger.info(text, { org: text });
logger.relay(
  `${JSON.stringify({ time: new Date().toISOString(), level: 'info', message: text })}\nraw ${text}`,
);
logger.relayErrors(text);
say(text);
await logger.close();
