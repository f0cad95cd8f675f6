import { createServer } from 'node:http';
import { text as readBody } from 'node:stream/consumers';
import { flowRun } from './flow-run.js';
import { announce } from './announce.js';

/**
 * A process of its own: `GET /api/flow_runs/{id}` and `POST /api/flow_runs/filter` by ids with the least work that
 * a server can do, and `GET /count` with how often they were asked. A run is text around its id, made once.
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
  if (url === `${PREFIX}filter`) {
    void readBody(request).then((body) => {
      count += 1;
      const ids = (JSON.parse(body) as { flow_runs: { id: { any_: string[] } } }).flow_runs.id.any_;
      reply.writeHead(200, { 'content-type': 'application/json' });
      reply.end(`[${ids.map((id) => parts.join(id)).join(',')}]`);
    });
    return;
  }
  reply.writeHead(url === '/count' ? 200 : 404, { 'content-type': 'application/json' });
  reply.end(url === '/count' ? String(count) : '{"detail":"Not Found"}');
});
announce(server);
