import { createServer } from 'node:http';
import { flowRun } from './flow-run.js';
import { announce } from './announce.js';

/**
 * A process of its own: `GET /api/flow_runs/{id}` with the least work that a server can do, and `GET /count` with how
 * often that was asked. The reply is text around the id, made once.
 */
const MARK = '@@';
const parts = JSON.stringify(flowRun(MARK)).split(MARK);
const PREFIX = '/api/flow_runs/';
const UUID_LENGTH = 36;
const length = String(parts.join('x'.repeat(UUID_LENGTH)).length);
let count = 0;

const server = createServer((request, reply) => {
  const url = request.url ?? '';
  if (url.startsWith(PREFIX) && url.length === PREFIX.length + UUID_LENGTH) {
    count += 1;
    reply.writeHead(200, { 'content-type': 'application/json', 'content-length': length });
    reply.end(parts.join(url.slice(PREFIX.length)));
    return;
  }
  reply.writeHead(url === '/count' ? 200 : 404, { 'content-type': 'application/json' });
  reply.end(url === '/count' ? String(count) : '{"detail":"Not Found"}');
});
announce(server);
