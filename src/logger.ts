import { join } from 'node:path';
import winston from 'winston';
import Transport from 'winston-transport';
import { z } from 'zod';
import { printable, printableLines } from './lib/printable.js';
import { LineSink } from './observability/line-sink.js';
import { RotatingFile, standardTarget, type WriteTarget } from './observability/write-targets.js';

export type LogFields = Record<string, string | number | boolean | undefined>;

/** Where everything is written: one line an event, fields only - never a body, a header or a query. */
export interface Logger {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** Resolves when everything is written, or cannot be written within a second. */
  close(): Promise<void>;
}

/** The places where lines go; what is no log line goes to stderr. */
export type LogPlace = 'console' | 'file' | 'stderr';

/** The logger of a process that writes for others too: only one can rotate a file, and only one can keep lines whole. */
export interface RelayingLogger extends Logger {
  /** Writes lines that another process has made; several are separated by line ends. */
  relay: (lines: string) => void;
  /** Writes lines that another process has written to its stderr to the one of this process. */
  relayErrors: (lines: string) => void;
  /** Writes text for people to the console alone. @param text safe for a terminal (printable.ts), with its line ends */
  print: (text: string) => void;
  /** Lines that were dropped since the start, because a place could not take them. */
  dropped(place: LogPlace): number;
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

/**
 * Neither place waits for the other, and nothing waits for them: what cannot be written is dropped, counted and, when it
 * is possible again, reported.
 * @throws Error where the directory cannot be made or written to
 */
export function createLogger({ level, directory, readable }: LoggerOptions): RelayingLogger {
  const sinkOf = (place: LogPlace, target: WriteTarget) =>
    new LineSink(target, {
      onTrouble: (reason) => {
        error('log lines cannot be written', { place, reason });
      },
      onRecovery: (lines, reason) => {
        if (lines > 0) error('log lines were dropped', { place, lines, reason });
        else info('log lines can be written again', { place, reason });
      },
    });
  const sinks: Partial<Record<LogPlace, LineSink>> & { console: LineSink } = {
    ...(directory !== undefined && { file: sinkOf('file', logFile(directory)) }),
    console: sinkOf('console', standardTarget(process.stdout)),
  };
  const logger = winston.createLogger({
    level,
    // Lines come finished; winston's default would write each as JSON once more.
    format: winston.format((line) => line)(),
    transports: [
      new Lines(sinks.console, readable ? shortLine : undefined),
      ...(sinks.file ? [new Lines(sinks.file, undefined)] : []),
    ],
  });
  const write =
    (severity: string) =>
    (message: string, fields: LogFields = {}) => {
      if (!logger.isLevelEnabled(severity)) return;
      const line = jsonLine(severity, message, fields);
      logger.write({ level: severity, message, fields, [LEVEL]: severity, [MESSAGE]: line });
    };
  const [info, warn, error] = [write('info'), write('warn'), write('error')];
  return {
    info,
    warn,
    error,
    relay: (lines) => {
      const safe = printableLines(lines);
      // Whether they are worth it was for the other process to say: `error` passes at every level.
      logger.write({ level: 'error', message: safe, [LEVEL]: 'error', [MESSAGE]: safe, isRelayed: true });
    },
    relayErrors: (lines) => {
      sinks.stderr ??= sinkOf('stderr', standardTarget(process.stderr));
      sinks.stderr.write(`${printableLines(lines)}\n`, countLines(lines) + 1);
    },
    print: (text) => {
      sinks.console.write(text, countLines(text));
    },
    dropped: (place) => sinks[place]?.dropped ?? 0,
    close: async () => {
      await new Promise((resolve) => {
        logger.on('finish', resolve);
        logger.end();
      });
      await sinks.stderr?.close();
    },
  };
}

/** A line as JSON, put together by hand: no object is made for it on each request. */
function jsonLine(level: string, message: string, fields: LogFields): string {
  let line = `{"time":"${new Date().toISOString()}","level":"${level}","message":${JSON.stringify(message)}`;
  for (const [key, value] of Object.entries(fields)) {
    if (value !== undefined)
      line += `,"${key}":${typeof value === 'string' ? JSON.stringify(value) : String(value)}`;
  }
  return printable(`${line}}`);
}

/** Hands lines to a sink, which takes them at once: winston would hold up every transport for a slow one. */
class Lines extends Transport {
  constructor(
    private readonly sink: LineSink,
    private readonly shorten: ((info: winston.Logform.TransformableInfo) => string) | undefined,
  ) {
    super();
  }

  override log(info: winston.Logform.TransformableInfo, next: () => void): void {
    const text = this.shorten?.(info) ?? String(info[MESSAGE]);
    this.sink.write(`${text}\n`, info['isRelayed'] === true ? countLines(text) + 1 : 1);
    next();
  }

  override _final(callback: () => void): void {
    void this.sink.close().then(callback);
  }
}

function logFile(directory: string): RotatingFile {
  const path = join(directory, 'prefect-proxy.log');
  return new RotatingFile({ path, maxBytes: MAX_FILE_BYTES, maxFiles: MAX_FILES });
}

function countLines(text: string): number {
  let count = 0;
  for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', end + 1)) count += 1;
  return count;
}

/** For a person at a terminal. */
function shortLine(info: winston.Logform.TransformableInfo): string {
  const text = String(info.message);
  return info['isRelayed'] === true
    ? text.split('\n').map(shortened).join('\n')
    : shortText(new Date().toISOString(), info.level, text, info['fields'] ?? {});
}

function shortText(time: string, level: string, message: string, fields: object): string {
  const rest = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${String(value)}`);
  return printable([time.slice(11, 23), level.toUpperCase().padEnd(5), message, ...rest].join(' '));
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
