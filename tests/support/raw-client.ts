import { connect, type Socket } from 'node:net';

export interface RawReply {
  status: number;
  headers: Record<string, string>;
  text: string;
  json: unknown;
}

/** A connection on which anything can be sent, e.g. what is no HTTP. */
export class RawClient {
  private readonly socket: Socket;
  private received = Buffer.alloc(0);
  /** Resolves with all that was received, once the other side has closed the connection. */
  readonly closed: Promise<string>;

  constructor(url: string) {
    this.socket = connect(Number(new URL(url).port), '127.0.0.1');
    this.socket.on('data', (part) => (this.received = Buffer.concat([this.received, part])));
    // A reset is a way to close.
    this.socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      this.socket.once('close', () => {
        resolve(this.received.toString('latin1'));
      });
    });
  }

  get text(): string {
    return this.received.toString('latin1');
  }

  /** Sends text, each character as one byte. */
  send(text: string): this {
    this.socket.write(text, 'latin1');
    return this;
  }

  /** Says that no more is coming. */
  end(): this {
    this.socket.end();
    return this;
  }

  destroy(): void {
    this.socket.destroy();
  }
}

/** What was received, taken apart: each reply needs a content-length. @throws Error where something else is left */
export function repliesIn(received: string): RawReply[] {
  if (received === '') return [];
  const [, status, fields, rest] =
    /^HTTP\/1\.1 (\d{3}) [^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n(.*)$/s.exec(received) ?? [];
  if (status === undefined || fields === undefined || rest === undefined)
    throw new Error(`no reply: ${received.slice(0, 300)}`);
  const headers = Object.fromEntries(
    fields
      .split('\r\n')
      .filter(Boolean)
      .map((line) => [
        line.slice(0, line.indexOf(':')).toLowerCase(),
        line.slice(line.indexOf(':') + 1).trim(),
      ]),
  );
  const length = status.startsWith('1') ? 0 : Number(headers['content-length']);
  const text = rest.slice(0, length);
  if (text.length !== length) throw new Error(`a reply was cut: ${received.slice(0, 300)}`);
  const json: unknown = text === '' ? undefined : JSON.parse(text);
  return [{ status: Number(status), headers, text, json }, ...repliesIn(rest.slice(length))];
}
