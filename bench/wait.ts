import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { limitedChildren, say } from './lib/limited.js';
import { startCountingProxy } from './lib/counting-proxy.js';
import { startFacade } from './lib/servers.js';
import { median } from './lib/stats.js';
import { PrefectRest } from './prefect/rest.js';
import { ensurePython, startPrefect } from './prefect/server.js';
import { machine } from './report.js';

/*
 * Hosts that wait for runs which end one after the other, on a real server: by `wait`, and by `poll` each second.
 * `npm run bench -- --only wait`
 */
const WAITERS = 500;
const RUNS = 20;
const WARM_UP_MS = 5_000;
const BETWEEN_MS = 1_000;
const POLL_MS = 1_000;
/** The clean-up after runs that end would be counted, too. */
const QUIET = { RECONCILE_INTERVAL: '0' };
const TIME_LIMIT_MS = 240_000;

interface Side {
  /** From the answer to the change of state until a host knows; the earliest may know before the answer. */
  delays: number[];
  calls: number;
  seconds: number;
}

type Ask = (agent: Agent, url: string, id: string) => Promise<number>;

const waited: Ask = async (agent, url, id) => {
  for (;;) {
    const reply = await request(`${url}/proxy/v1/flow_runs/${id}/wait`, { dispatcher: agent });
    await reply.body.dump();
    if (reply.headers['x-run-ended'] === 'true') return performance.now();
    // As a host would: the orchestrator may be away for a while.
    if (reply.statusCode !== 200) await sleep(POLL_MS);
  }
};

const polled: Ask = async (agent, url, id) => {
  await sleep(Math.random() * POLL_MS);
  for (;;) {
    const asked = performance.now();
    const reply = await request(`${url}/proxy/flow_runs/${id}/poll`, { dispatcher: agent });
    const run = (await reply.body.json()) as { state_type?: string };
    if (run.state_type === 'COMPLETED') return performance.now();
    await sleep(Math.max(0, POLL_MS - (performance.now() - asked)));
  }
};

const children = limitedChildren(TIME_LIMIT_MS);
try {
  const given = process.env['BENCH_PREFECT_API_URL']?.replace(/\/+$/, '');
  const { apiUrl } = given ? { apiUrl: given } : await startPrefect(children, await ensurePython(say));
  const before = machine();
  const wait = await side(apiUrl, 'wait', waited);
  const poll = await side(apiUrl, 'poll', polled);
  process.stdout.write(
    `\n${before}\n\n${WAITERS} hosts, ${RUNS} runs\n${row('wait', wait)}\n${row('poll', poll)}\n`,
  );
} finally {
  await children.endAll();
}

async function side(apiUrl: string, name: string, ask: Ask): Promise<Side> {
  const proxy = await startCountingProxy(apiUrl);
  const facade = await startFacade(children, `facade-${name}`, proxy.apiUrl, QUIET);
  const api = new PrefectRest(apiUrl);
  const agent = new Agent({ connections: WAITERS, pipelining: 1 });
  say(`${name}: seeding`);
  const flow = await api.post<{ id: string }>('/flows/', { name: `bench-${Date.now()}` });
  try {
    const runs: string[] = [];
    while (runs.length < RUNS) runs.push(await startRun(api, flow.id));
    say(`${name}: ${WAITERS} hosts wait`);
    const [calls, started] = [proxy.count(), performance.now()];
    const known = Array.from({ length: WAITERS }, (_, host) =>
      ask(agent, facade.url, runs[host % RUNS] ?? ''),
    );
    await sleep(WARM_UP_MS);
    const ended: number[] = [];
    for (const id of runs) {
      await api.post(`/flow_runs/${id}/set_state`, {
        state: { type: 'COMPLETED', name: 'Completed' },
        force: true,
      });
      ended.push(performance.now());
      await sleep(BETWEEN_MS);
    }
    const delays = (await Promise.all(known)).map((at, host) => at - (ended[host % RUNS] ?? NaN));
    return { delays, calls: proxy.count() - calls, seconds: (performance.now() - started) / 1000 };
  } finally {
    await api.remove(`/flows/${flow.id}`);
    await api.close();
    await agent.destroy();
    await children.end(facade);
    proxy.close();
  }
}

async function startRun(api: PrefectRest, flowId: string): Promise<string> {
  const state = { type: 'RUNNING', name: 'Running' };
  return (await api.post<{ id: string }>('/flow_runs/', { flow_id: flowId, state })).id;
}

function row(name: string, { delays, calls, seconds }: Side): string {
  const sorted = delays.toSorted((a, b) => a - b);
  const p95 = sorted[Math.floor(sorted.length * 0.95)] ?? NaN;
  const most = sorted.at(-1) ?? NaN;
  const ms = (value: number) => `${value.toFixed(0)} ms`;
  return `${name}: noticed after ${ms(median(delays))} (median), ${ms(p95)} (p95), ${ms(most)} (most); ${calls} upstream calls in ${seconds.toFixed(0)} s`;
}
