import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import winston from 'winston';

export type LogFields = Record<string, string | number | boolean | undefined>;

/** Where everything is written: one line an event, fields only - never a body, a header or a query. */
export interface Logger {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** Resolves when everything is written. */
  close(): Promise<void>;
}

export interface LoggerOptions {
  level: string;
  /** Directory of `prefect-proxy.log`; made where it is not there. None: console only. */
  directory?: string | undefined;
  /** A person reads the console: short lines instead of JSON. */
  readable: boolean;
}

const MAX_FILE_BYTES = 20 * 1024 * 1024;
const MAX_FILES = 5;

/** @throws Error where the directory cannot be made or written to */
export function createLogger({ level, directory, readable }: LoggerOptions): Logger {
  const transports: winston.transport[] = [
    new winston.transports.Console({ format: written(readable ? shortLine : jsonLine) }),
  ];
  if (directory) {
    mkdirSync(directory, { recursive: true });
    const filename = join(directory, 'prefect-proxy.log');
    transports.push(
      new winston.transports.File({
        filename,
        format: written(jsonLine),
        maxsize: MAX_FILE_BYTES,
        maxFiles: MAX_FILES,
        tailable: true,
      }),
    );
  }
  // Its default would write each line as JSON once more before the transports do.
  const logger = winston.createLogger({ level, transports, format: winston.format((info) => info)() });
  return {
    info: (message, fields) => void logger.info(message, fields),
    warn: (message, fields) => void logger.warn(message, fields),
    error: (message, fields) => void logger.error(message, fields),
    close: () =>
      new Promise((resolve) => {
        logger.on('finish', resolve);
        logger.end();
      }),
  };
}

const MESSAGE = Symbol.for('message');

function written(line: (info: winston.Logform.TransformableInfo) => string): winston.Logform.Format {
  return winston.format((info) => Object.assign(info, { [MESSAGE]: line(info) }))();
}

function jsonLine({ level, message, ...fields }: winston.Logform.TransformableInfo): string {
  return JSON.stringify({ time: new Date().toISOString(), level, message, ...fields });
}

function shortLine({ level, message, ...fields }: winston.Logform.TransformableInfo): string {
  const rest = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${String(value)}`);
  const clock = new Date().toISOString().slice(11, 23);
  return [clock, level.toUpperCase().padEnd(5), String(message), ...rest].join(' ');
}
