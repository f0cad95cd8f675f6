import { setTimeout as sleep } from 'node:timers/promises';
import { createServer } from 'node:http';
import { Client } from 'undici';
import { announce } from './announce.js';
import { KINDS, type Asked, type Kind } from './kinds.js';

/**
 * A process of its own: hosts with a connection each, which ask, think, and ask again; told to come later, they do.
 * `GET /ready` says how many have been answered once, `GET /replies` ends it with all replies.
 */
const RAMP_MS = 2_000;
const DEPLOYMENT = crypto.randomUUID();
const REQUESTS = {
  trigger: () => ({ method: 'POST', path: `/proxy/deployments/${DEPLOYMENT}/flow_run`, thinkMs: 10_000 }),
  poll: () => ({ method: 'GET', path: `/proxy/flow_runs/${crypto.randomUUID()}/poll`, thinkMs: 1_000 }),
  list: () => ({
    method: 'GET',
    path: `/proxy/flow_runs?deployment_id=${DEPLOYMENT}&limit=20`,
    thinkMs: 1_000,
  }),
  logs: () => ({
    method: 'GET',
    path: `/proxy/flow_runs/logs/${crypto.randomUUID()}?limit=50`,
    thinkMs: 1_000,
  }),
} as const;

const replies: Asked[] = [];
const answered = new Set<number>();
let isOver = false;

function kindOf(host: number): Kind {
  return KINDS[host % 10] ?? 'poll';
}

async function runHost(host: number, url: string): Promise<void> {
  await sleep(Math.random() * RAMP_MS);
  const kind = kindOf(host);
  const client = new Client(url, { headersTimeout: 120_000 });
  while (!isOver) {
    const { method, path, thinkMs } = REQUESTS[kind]();
    const headers = method === 'POST' ? { 'content-type': 'application/json' } : {};
    const sent = Date.now();
    let status = 0;
    let retryAfter: number | undefined;
    try {
      const reply = await client.request({ method, path, headers, body: method === 'POST' ? '{}' : null });
      await reply.body.dump();
      status = reply.statusCode;
      const given = reply.headers['retry-after'];
      if (typeof given === 'string') retryAfter = Number(given);
    } catch {
      // No reply: status 0.
    }
    replies.push({ kind, status, hasRetryAfter: retryAfter !== undefined, sent, done: Date.now() });
    answered.add(host);
    await sleep(retryAfter === undefined ? thinkMs * (0.5 + Math.random()) : retryAfter * 1000);
  }
  await client.destroy();
}

const hosts = Number(process.env['HOSTS']);
for (let host = 0; host < hosts; host += 1) void runHost(host, process.env['FACADE'] ?? '');
announce(
  createServer((request, reply) => {
    if (request.url === '/replies') isOver = true;
    reply.end(request.url === '/replies' ? JSON.stringify(replies) : String(answered.size));
  }),
);
