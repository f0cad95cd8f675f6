import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';

/** What ends the head of a request: the parser takes nothing else for it. */
const END_OF_HEAD = Buffer.from('\r\n\r\n');

/** Gives bytes to the parser of a connection. */
type Feed = (bytes: Buffer) => void;

/** The requests of one connection. */
interface Pipeline {
  /** Those whose reply is not out. */
  inFlight: number;
  /** The last one. Its body may still be to come. */
  latest: IncomingMessage | undefined;
  /** The socket is not read because of the limit. */
  isHeld: boolean;
  /** The parser takes no more: what came is no HTTP, or a tunnel was asked for. */
  isOver: boolean;
}

/**
 * Lets a server parse at most so many requests of a connection before the first of them is answered. What more its client
 * sends is not read until then, and so waits on the client's side: nothing is refused, nothing is lost. Node by itself
 * parses all that has come, thousands of requests at once, and stops only for replies that are not taken.
 */
export function limitPipelining(server: Server, limit: () => number): void {
  const pipelines = new WeakMap<object, Pipeline>();
  server.on('connection', (socket) => {
    // Node has just added its own listener. While another one listens, bytes come through JavaScript and not straight to
    // the parser, which costs nothing that could be measured.
    const [feed] = socket.listeners('data') as Feed[];
    if (!feed) return;
    const pipeline: Pipeline = { inFlight: 0, latest: undefined, isHeld: false, isOver: false };
    pipelines.set(socket, pipeline);
    socket.off('data', feed);
    socket.on('data', (bytes: Buffer) => {
      feedUpTo(limit(), { pipeline, socket, feed, bytes });
    });
  });
  server.on('request', (request, response) => {
    const { socket } = request;
    const pipeline = pipelines.get(socket);
    if (!pipeline) return;
    pipeline.inFlight += 1;
    pipeline.latest = request;
    response.once('close', () => {
      pipeline.inFlight -= 1;
      if (!pipeline.isHeld) return;
      pipeline.isHeld = false;
      socket.resume();
    });
  });
  for (const event of ['connect', 'clientError'])
    server.on(event, (_request: unknown, socket: object) => {
      const pipeline = pipelines.get(socket);
      if (pipeline) pipeline.isOver = true;
    });
}

interface Arrival {
  pipeline: Pipeline;
  socket: Socket;
  feed: Feed;
  bytes: Buffer;
}

/** Feeds the parser head by head; what does not go in yet is put back into the socket, which is paused. */
function feedUpTo(limit: number, { pipeline, socket, feed, bytes }: Arrival): void {
  let from = 0;
  while (from < bytes.length && !pipeline.isOver && !socket.destroyed) {
    // Node has paused it, for a body or replies that are not taken, and resumes it: until then its parser takes nothing.
    const isPaused = socket.isPaused();
    if (isPaused || isFull(pipeline, limit)) {
      pipeline.isHeld = !isPaused;
      socket.pause();
      socket.unshift(bytes.subarray(from));
      return;
    }
    const to = endOfHeads(bytes, from, Math.max(1, limit - pipeline.inFlight));
    feed(bytes.subarray(from, to));
    from = to;
  }
}

/** A request whose body is still to come is read to its end, or it would wait for itself. */
function isFull({ inFlight, latest }: Pipeline, limit: number): boolean {
  return inFlight >= limit && latest?.complete === true;
}

/** Where so many heads end at most: no more requests than that begin before it. */
function endOfHeads(bytes: Buffer, from: number, heads: number): number {
  let end = from;
  for (let left = heads; left > 0; left -= 1) {
    const at = bytes.indexOf(END_OF_HEAD, end);
    if (at === -1) return bytes.length;
    end = at + END_OF_HEAD.length;
  }
  return end;
}
