import { subscribe } from 'node:diagnostics_channel';

const underWay = new Set<unknown>();

interface Published {
  request: { upgrade: unknown };
}
const isPublished = (message: unknown): message is Published =>
  typeof message === 'object' && message !== null && 'request' in message;

subscribe('undici:request:create', (message) => {
  // A websocket ends only when it is closed.
  if (isPublished(message) && !message.request.upgrade) underWay.add(message.request);
});
for (const end of ['undici:request:trailers', 'undici:request:error']) {
  subscribe(end, (message) => {
    if (isPublished(message)) underWay.delete(message.request);
  });
}

/** Requests of this process that wait for a connection or for their reply, to whomever. */
export function requestsUnderWay(): number {
  return underWay.size;
}
