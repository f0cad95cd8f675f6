import type { RequestListener, Server } from 'node:http';

type Arrived = Parameters<RequestListener>;

/** Requests that are begun in one turn of the event loop, some milliseconds of work. */
const PER_TURN = 32;
/** The event loop accepts one connection a turn: while some come, turns are short. */
const PER_TURN_OF_ACCEPTING = 4;

/**
 * Makes a server begin a few requests in each turn of the event loop, in the order they came: thousands at once would
 * make one turn of seconds, in which nobody who connects is let in and no load balancer hears that this process is well.
 * @param isUrgent tells by the path who waits for nobody
 */
export function pace(server: Server, listener: RequestListener, isUrgent: (path: string) => boolean): void {
  const waiting: Arrived[] = [];
  let begun = 0;
  let isAccepting = false;
  let turnEnds = false;
  const endTurn = () => {
    turnEnds = false;
    begun = 0;
    const room = isAccepting ? PER_TURN_OF_ACCEPTING : PER_TURN;
    isAccepting = false;
    for (const [request, response] of waiting.splice(0, room)) {
      // Else its host has hung up.
      if (!response.closed) begin(request, response);
    }
    if (waiting.length > 0) watchTurn();
  };
  const begin = (...arrived: Arrived) => {
    begun += 1;
    watchTurn();
    listener(...arrived);
  };
  const watchTurn = () => {
    if (turnEnds) return;
    turnEnds = true;
    setImmediate(endTurn);
  };
  server.on('connection', () => {
    isAccepting = true;
  });
  server.on('request', (request, response) => {
    if (isUrgent(request.url ?? '')) listener(request, response);
    else if (waiting.length === 0 && begun < PER_TURN) begin(request, response);
    else {
      waiting.push([request, response]);
      watchTurn();
    }
  });
}
