import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import winston from 'winston';
import Transport from 'winston-transport';
import { z } from 'zod';

export type LogFields = Record<string, string | number | boolean | undefined>;

/** Where everything is written: one line an event, fields only - never a body, a header or a query. */
export interface Logger {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** Resolves when everything is written. */
  close(): Promise<void>;
}

/** The logger of a process that writes for others too: only one can rotate a file, and only one can keep lines whole. */
export interface RelayingLogger extends Logger {
  /** Writes lines that another process has made, as they are; several are separated by line ends. */
  relay(lines: string): void;
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
const LEVEL = Symbol.for('level');
const MESSAGE = Symbol.for('message');

/** @throws Error where the directory cannot be made or written to */
export function createLogger({ level, directory, readable }: LoggerOptions): RelayingLogger {
  const logger = winston.createLogger({
    level,
    // Lines come finished; winston's default would write each as JSON once more.
    format: winston.format((info) => info)(),
    transports: [
      new ConsoleLines({ format: winston.format(readable ? shortLine : (info) => info)() }),
      ...(directory ? [rotatedFile(directory)] : []),
    ],
  });
  const write =
    (severity: string) =>
    (message: string, fields: LogFields = {}) => {
      if (!logger.isLevelEnabled(severity)) return;
      const line = jsonLine(severity, message, fields);
      logger.write({ level: severity, message, fields, [LEVEL]: severity, [MESSAGE]: line });
    };
  return {
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    // Whether they are worth it was for the other process to say: `error` passes at every level.
    relay: (lines) =>
      logger.write({ level: 'error', message: lines, [LEVEL]: 'error', [MESSAGE]: lines, isRelayed: true }),
    close: () =>
      new Promise((resolve) => {
        logger.on('finish', resolve);
        logger.end();
      }),
  };
}

/** A line as JSON, put together by hand: no object is made for it on each request. */
function jsonLine(level: string, message: string, fields: LogFields): string {
  let line = `{"time":"${new Date().toISOString()}","level":"${level}","message":${JSON.stringify(message)}`;
  for (const [key, value] of Object.entries(fields)) {
    if (value !== undefined)
      line += `,"${key}":${typeof value === 'string' ? JSON.stringify(value) : String(value)}`;
  }
  return `${line}}`;
}

/** Console lines; those of one turn of the event loop are one write, which is most of what a line costs. */
class ConsoleLines extends Transport {
  private pending = '';

  constructor(options: Transport.TransportStreamOptions) {
    super(options);
    process.on('exit', () => {
      this.flush();
    });
  }

  override log(info: { [MESSAGE]?: unknown }, next: () => void): void {
    if (this.pending === '')
      setImmediate(() => {
        this.flush();
      });
    this.pending += `${String(info[MESSAGE])}\n`;
    next();
  }

  override _final(callback: () => void): void {
    this.flush();
    callback();
  }

  private flush(): void {
    if (this.pending !== '') process.stdout.write(this.pending);
    this.pending = '';
  }
}

function rotatedFile(directory: string): winston.transport {
  mkdirSync(directory, { recursive: true });
  const filename = join(directory, 'prefect-proxy.log');
  // winston would say so later, or never.
  closeSync(openSync(filename, 'a'));
  return new winston.transports.File({
    filename,
    maxsize: MAX_FILE_BYTES,
    maxFiles: MAX_FILES,
    tailable: true,
  });
}

/** For a person at a terminal. */
function shortLine(info: winston.Logform.TransformableInfo): winston.Logform.TransformableInfo {
  const text = String(info.message);
  const short =
    info['isRelayed'] === true
      ? text.split('\n').map(shortened).join('\n')
      : shortText(new Date().toISOString(), info.level, text, info['fields'] ?? {});
  return { ...info, [MESSAGE]: short };
}

function shortText(time: string, level: string, message: string, fields: object): string {
  const rest = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${String(value)}`);
  return [time.slice(11, 23), level.toUpperCase().padEnd(5), message, ...rest].join(' ');
}

const finishedLine = z.looseObject({ time: z.string(), level: z.string(), message: z.string() });

/** A line that another process has made as JSON; one that is something else stays as it is. */
function shortened(line: string): string {
  try {
    const { time, level, message, ...fields } = finishedLine.parse(JSON.parse(line));
    return shortText(time, level, message, fields);
  } catch {
    return line;
  }
}
