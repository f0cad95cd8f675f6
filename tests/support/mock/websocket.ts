import { createHash } from 'node:crypto';
import { type IncomingMessage } from 'node:http';
import { type Duplex } from 'node:stream';

/** The server's side of a websocket (RFC 6455): text in whole messages, ping, pong, close. No compression. */
export interface WebSocketConnection {
  send(text: string): void;
  /** Closes in good order. */
  close(code: number, reason: string): void;
  /** Cuts the connection. */
  destroy(): void;
  onMessage: (text: string) => void;
  onClose: () => void;
}

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const TEXT = 0x1;
const CLOSE = 0x8;
const PING = 0x9;
const PONG = 0xa;

/** @param protocol the subprotocol that was agreed on */
export function acceptWebSocket(
  request: IncomingMessage,
  socket: Duplex,
  protocol: string | undefined,
): WebSocketConnection {
  const key = request.headers['sec-websocket-key'] ?? '';
  const lines = [
    'HTTP/1.1 101 Switching Protocols',
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Accept: ${createHash('sha1')
      .update(key + GUID)
      .digest('base64')}`,
    ...(protocol === undefined ? [] : [`Sec-WebSocket-Protocol: ${protocol}`]),
  ];
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  return connection(socket);
}

function connection(socket: Duplex): WebSocketConnection {
  let closing = false;
  const write = (opcode: number, payload: Buffer) => {
    if (!closing && socket.writable) socket.write(frame(opcode, payload));
  };
  const close = (payload: Buffer) => {
    write(CLOSE, payload);
    closing = true;
    socket.end();
  };
  const self: WebSocketConnection = {
    send: (text) => {
      write(TEXT, Buffer.from(text));
    },
    close: (code, reason) => {
      const head = Buffer.alloc(2);
      head.writeUInt16BE(code);
      close(Buffer.concat([head, Buffer.from(reason)]));
    },
    destroy: () => socket.destroy(),
    onMessage: () => undefined,
    onClose: () => undefined,
  };
  let message: Buffer[] = [];
  const take = ({ opcode, last, payload }: Frame) => {
    if (opcode === CLOSE) close(payload);
    else if (opcode === PING) write(PONG, payload);
    else if (opcode < CLOSE) {
      message.push(payload);
      if (!last) return;
      const text = Buffer.concat(message).toString();
      message = [];
      self.onMessage(text);
    }
  };
  let pending: Buffer = Buffer.alloc(0);
  socket.on('data', (part: Buffer) => {
    pending = Buffer.concat([pending, part]);
    for (let next = parse(pending); next !== undefined && !closing; next = parse(pending)) {
      pending = pending.subarray(next.length);
      take(next);
    }
  });
  socket.on('error', () => socket.destroy());
  socket.on('end', () => socket.end());
  socket.on('close', () => {
    self.onClose();
  });
  return self;
}

function frame(opcode: number, payload: Buffer): Buffer {
  const size = payload.length;
  const head = Buffer.alloc(size < 126 ? 2 : size < 65_536 ? 4 : 10);
  head[0] = 0x80 | opcode;
  head[1] = size < 126 ? size : size < 65_536 ? 126 : 127;
  if (head.length === 4) head.writeUInt16BE(size, 2);
  if (head.length === 10) head.writeBigUInt64BE(BigInt(size), 2);
  return Buffer.concat([head, payload]);
}

interface Frame {
  opcode: number;
  last: boolean;
  payload: Buffer;
  /** Of the whole frame, in bytes. */
  length: number;
}

/** The first frame of what came in, masked as every frame of a client is; nothing while it is not whole. */
function parse(bytes: Buffer): Frame | undefined {
  if (bytes.length < 2) return undefined;
  const [first, second] = [bytes.readUInt8(0), bytes.readUInt8(1)];
  const short = second & 0x7f;
  const start = (short === 126 ? 4 : short === 127 ? 10 : 2) + 4;
  if (bytes.length < start) return undefined;
  const size =
    short === 126 ? bytes.readUInt16BE(2) : short === 127 ? Number(bytes.readBigUInt64BE(2)) : short;
  if (bytes.length < start + size) return undefined;
  const mask = bytes.subarray(start - 4, start);
  const payload = Buffer.from(bytes.subarray(start, start + size));
  for (let index = 0; index < size; index += 1) payload[index]! ^= mask[index % 4]!;
  return { opcode: first & 0x0f, last: (first & 0x80) !== 0, payload, length: start + size };
}
