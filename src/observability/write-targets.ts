import { closeSync, constants, fstatSync, mkdirSync, openSync, renameSync, write, writeSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';

/** Where bytes go: a file, a terminal, a pipe. */
export interface WriteTarget {
  /**
   * @param offset of the first byte to write
   * @returns how many bytes were taken; 0: none at this moment
   * @throws Error with a code where they cannot be written
   */
  write(bytes: Buffer, offset: number): Promise<number>;
  /** Writes what can be written at once. Never fails. */
  writeNow(bytes: Buffer): void;
  close(): Promise<void>;
}

/**
 * Makes the target of stdout or stderr. A terminal is opened anew, without blocking: Node's own way to it stops the whole
 * process while a person has stopped the output (Ctrl-S).
 */
export function standardTarget(stream: NodeJS.WriteStream & { fd: 1 | 2 }): WriteTarget {
  // What it tells by this event is told by the callback of each write, too; without a listener it ends the process.
  stream.on('error', () => undefined);
  if (stream.isTTY) return openTerminal(stream.fd) ?? new StreamTarget(stream);
  const stat = fstatSync(stream.fd);
  return stat.isFile() || stat.isCharacterDevice()
    ? new DescriptorTarget(stream.fd)
    : new StreamTarget(stream);
}

function openTerminal(fd: number): WriteTarget | undefined {
  try {
    const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants;
    return new DescriptorTarget(openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_NOCTTY));
  } catch {
    // No Linux, or another user's terminal.
    return undefined;
  }
}

/** A pipe or socket: Node writes to it without blocking, and keeps what it does not take. */
class StreamTarget implements WriteTarget {
  constructor(private readonly stream: NodeJS.WriteStream) {}

  write(bytes: Buffer, offset: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.stream.write(bytes.subarray(offset), (error) => {
        if (error) reject(error);
        else resolve(bytes.length - offset);
      });
    });
  }

  writeNow(bytes: Buffer): void {
    if (bytes.length > 0) this.stream.write(bytes);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** A file or a terminal that is open. */
class DescriptorTarget implements WriteTarget {
  constructor(private readonly fd: number) {}

  write(bytes: Buffer, offset: number): Promise<number> {
    return writeTo(this.fd, bytes, offset);
  }

  writeNow(bytes: Buffer): void {
    writeAtOnce(this.fd, bytes);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

export interface RotatingFileOptions {
  path: string;
  /** A file that has so many bytes is set aside. */
  maxBytes: number;
  /** How many files are kept: `name.log`, which is always the newest, `name1.log`, ... */
  maxFiles: number;
}

/** A file that is opened when it is written to, and opened again after a failure. */
export class RotatingFile implements WriteTarget {
  private fd: number | undefined;
  private size = 0;

  /** @throws Error where the file cannot be made for another reason than a want of space */
  constructor(private readonly options: RotatingFileOptions) {
    mkdirSync(dirname(options.path), { recursive: true });
    try {
      this.open();
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && PASSING.includes(String(error.code)))) throw error;
    }
  }

  async write(bytes: Buffer, offset: number): Promise<number> {
    if (this.size >= this.options.maxBytes && offset === 0) this.rotate();
    const fd = this.fd ?? this.open();
    try {
      const written = await writeTo(fd, bytes, offset);
      this.size += written;
      return written;
    } catch (error) {
      // It may be another disk's by now.
      this.closeFile();
      throw error;
    }
  }

  writeNow(bytes: Buffer): void {
    if (this.fd !== undefined) writeAtOnce(this.fd, bytes);
  }

  close(): Promise<void> {
    this.closeFile();
    return Promise.resolve();
  }

  private open(): number {
    const { O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK } = constants;
    // Without blocking: it may be a pipe with a name.
    const fd = openSync(this.options.path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0o666);
    this.fd = fd;
    this.size = fstatSync(fd).size;
    return fd;
  }

  private closeFile(): void {
    if (this.fd !== undefined) closeSync(this.fd);
    this.fd = undefined;
  }

  /** Where the files cannot be renamed, the one that is there goes on growing. */
  private rotate(): void {
    const { path, maxFiles } = this.options;
    this.closeFile();
    // Once, even if the new file cannot be made: each further time would set one more of the old ones aside.
    this.size = 0;
    const extension = extname(path);
    const name = join(dirname(path), basename(path, extension));
    const nth = (n: number) => (n === 0 ? path : `${name}${n}${extension}`);
    for (let n = maxFiles - 1; n > 0; n -= 1) {
      try {
        renameSync(nth(n - 1), nth(n));
      } catch {
        // There are fewer, or they cannot be renamed.
      }
    }
  }
}

/** Reasons that pass by themselves: no space, a quota, too many open files, a pipe that has no reader yet. */
const PASSING = ['ENOSPC', 'EDQUOT', 'EMFILE', 'ENFILE', 'ENXIO'];
const isBusy = (error: Error | null) => error !== null && 'code' in error && error.code === 'EAGAIN';

function writeTo(fd: number, bytes: Buffer, offset: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(fd, bytes, offset, bytes.length - offset, null, (error, written) => {
      if (isBusy(error)) resolve(0);
      else if (error) reject(error);
      else resolve(written);
    });
  });
}

function writeAtOnce(fd: number, bytes: Buffer): void {
  try {
    for (let offset = 0; offset < bytes.length;) offset += writeSync(fd, bytes, offset);
  } catch {
    // The last lines are lost.
  }
}
