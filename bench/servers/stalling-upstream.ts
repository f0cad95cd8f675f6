import { createServer, type ServerResponse } from 'node:http';
import { text as readBody } from 'node:stream/consumers';
import { announce } from './announce.js';
import { flowRun } from './flow-run.js';

/**
 * A process of its own: what polls, lists, logs and triggers ask an orchestrator for, 5 ms a call. `GET /mood/{mood}`
 * changes how: `well`; `hold` answers nothing until it is over, and then all that came; `drop` never answers what comes
 * while it lasts; `slow` answers 80 calls a second.
 */
const MARK = '@@';
const parts = JSON.stringify(flowRun(MARK)).split(MARK);
const run = (id: string) => parts.join(id);
const someId = () => crypto.randomUUID();
const repeat = (count: number, make: () => string) => `[${Array.from({ length: count }, make).join(',')}]`;
const log = () =>
  JSON.stringify({
    id: someId(),
    name: 'prefect.flow_runs',
    level: 20,
    timestamp: '2026-01-31T03:00:00.123456Z',
    message: 'x'.repeat(100),
    flow_run_id: someId(),
    task_run_id: null,
  });
const SLOW_LANES = 8;
const SLOW_MS = 100;

let mood = 'well';
let held: (() => void)[] = [];
let lanes = 0;
let queue: (() => void)[] = [];

createServerOf((path, body) => {
  if (path.endsWith('/create_flow_run')) return run(someId());
  if (path.endsWith('/task_runs/filter')) return '[]';
  if (path.endsWith('/logs/filter')) return repeat(50, log);
  if (!path.endsWith('/flow_runs/filter')) return run(path.slice(-36));
  const wanted = JSON.parse(body) as { flow_runs?: { id?: { any_: string[] } } };
  const ids = wanted.flow_runs?.id?.any_;
  return ids ? `[${ids.map(run).join(',')}]` : repeat(20, () => run(someId()));
});

function createServerOf(answer: (path: string, body: string) => string): void {
  announce(
    createServer((request, reply) => {
      const path = request.url ?? '';
      if (path.startsWith('/mood/')) {
        change(path.slice('/mood/'.length));
        reply.end();
        return;
      }
      void readBody(request).then((body) => {
        respond(reply, () => answer(path, body));
      });
    }),
  );
}

function respond(reply: ServerResponse, answer: () => string): void {
  const send = () => {
    if (reply.destroyed) return;
    reply.writeHead(200, { 'content-type': 'application/json' });
    reply.end(answer());
  };
  if (mood === 'hold') held.push(send);
  else if (mood === 'slow') {
    queue.push(send);
    serveQueue();
  } else if (mood !== 'drop') setTimeout(send, 5);
}

function change(to: string): void {
  mood = to;
  for (const send of [...held, ...queue]) send();
  held = [];
  queue = [];
}

function serveQueue(): void {
  if (lanes >= SLOW_LANES) return;
  const send = queue.shift();
  if (!send) return;
  lanes += 1;
  setTimeout(() => {
    send();
    lanes -= 1;
    serveQueue();
  }, SLOW_MS);
}
