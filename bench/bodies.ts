import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { DECIMALS, WRONG_BODIES, type LargeBody } from './lib/large-bodies.js';
import { limitedChildren } from './lib/limited.js';
import { startFacade } from './lib/servers.js';
import { machine } from './report.js';

/*
 * What a large body costs everyone else: each kind is sent to the built facade, one process, while `/healthz` is asked
 * every 10 ms over another connection. `npm run bench -- --only bodies`
 */
const TIME_LIMIT_MS = 240_000;

const MB = 1024 * 1024;
const PROBE_MS = 10;
const WARM_UPS = 5;

/** With the default limit: far beyond it, and just below it. Then with a limit that an operator has raised. */
const RUNS = [
  { limit: undefined, bytes: 10 * MB },
  { limit: undefined, bytes: 1.9 * MB },
  { limit: 16 * MB, bytes: 10 * MB },
];

interface Measured {
  status: number;
  bytes: number;
  milliseconds: number;
  /** The slowest reply of `/healthz`, from the time that it was due. */
  healthzMs: number;
}

/** Reads the body of every call, and answers as Prefect answers a new run. */
async function startUpstream(): Promise<Server> {
  const run = JSON.stringify({ id: '00000000-0000-4000-8000-000000000000', name: 'amber-otter' });
  const server = createServer((incoming, reply) => {
    incoming.resume().on('end', () => reply.writeHead(201).end(run));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return server;
}

async function measure(url: string, body: LargeBody, bytes: number): Promise<Measured> {
  const text = Buffer.from(body.text(bytes));
  const [sender, prober] = [new Agent(), new Agent()];
  let healthzMs = 0;
  let isOver = false;
  const probe = async () => {
    while (!isOver) {
      const due = performance.now();
      const reply = await request(`${url}/healthz`, { dispatcher: prober });
      await reply.body.dump();
      const took = performance.now() - due;
      healthzMs = Math.max(healthzMs, took);
      await sleep(Math.max(0, PROBE_MS - took));
    }
  };
  const probing = probe();
  await sleep(5 * PROBE_MS);
  const started = performance.now();
  const reply = await request(url + body.path, {
    method: body.method,
    body: text,
    headers: { 'content-type': body.contentType ?? 'application/json' },
    dispatcher: sender,
  }).then(
    async ({ statusCode, body: replyBody }) => ({
      status: statusCode,
      bytes: (await replyBody.text()).length,
    }),
    () => ({ status: 0, bytes: 0 }),
  );
  const milliseconds = performance.now() - started;
  await sleep(2 * PROBE_MS);
  isOver = true;
  await probing;
  await Promise.all([sender.destroy(), prober.close()]);
  return { ...reply, milliseconds, healthzMs };
}

const children = limitedChildren(TIME_LIMIT_MS);
const upstream = await startUpstream();
const { port } = upstream.address() as AddressInfo;
const print = (line: string) => void process.stdout.write(`${line}\n`);
try {
  print(machine());
  for (const { limit, bytes } of RUNS) {
    const more = limit === undefined ? {} : { MAX_BODY_BYTES: String(limit) };
    const facade = await startFacade(children, 'facade', `http://127.0.0.1:${port}/api`, more);
    print(`\n${bytes / MB} MB, MAX_BODY_BYTES ${limit === undefined ? 'by default' : `${limit / MB} MB`}`);
    print(`${''.padEnd(28)} status    reply        ms  /healthz at most`);
    for (const body of [...WRONG_BODIES, DECIMALS]) {
      // Until V8 has compiled what reads it.
      for (let n = 0; n < WARM_UPS; n += 1) await measure(facade.url, body, MB / 4);
      const { status, bytes: size, milliseconds, healthzMs } = await measure(facade.url, body, bytes);
      const columns = [String(status), `${size} B`, milliseconds.toFixed(0), `${healthzMs.toFixed(0)} ms`];
      print(body.what.padEnd(28) + columns.map((column) => column.padStart(9)).join(' '));
    }
    await children.end(facade);
  }
} finally {
  upstream.close();
  await children.endAll();
}
