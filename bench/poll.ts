import { isDeepStrictEqual } from 'node:util';
import { request } from 'undici';
import type { Children } from './lib/children.js';
import { cpuMs, watchRss } from './lib/proc.js';
import { startFacade, startServer, type Server } from './lib/servers.js';
import { putLoad, type Load, type LoadOptions } from './lib/wrk.js';
import { flowRun } from './servers/flow-run.js';

export interface PollPlan {
  rounds: number;
  sameRounds: number;
  seconds: number;
  /** Some 30,000 requests: below that V8 still compiles the facade's code, at twice the cost of a request. */
  warmUpSeconds: number;
  connections: number;
}

/** One side's load in one round. */
export interface Sample extends Load {
  /** CPU time of the process for each request, in microseconds. */
  cpuUs: number;
  upstreamCalls: number;
}

/** The same index on both sides is the same round. */
export interface Comparison {
  bare: Sample[];
  facade: Sample[];
}

export interface PollResult {
  distinct: Comparison;
  same: Comparison;
  /** One connection: no poll has another one to go with. */
  alone: Comparison;
  rssMb: number;
}

/** Polls through the facade and through a bare pass-through, in turns, over the same upstream. */
export async function benchPoll(
  children: Children,
  plan: PollPlan,
  say: (line: string) => void,
): Promise<PollResult> {
  const upstream = await startServer(children, 'upstream');
  const bare = await startServer(children, 'pass-through', { UPSTREAM: upstream.url });
  const facade = await startFacade(children, 'facade-poll', `${upstream.url}/api`);
  const sides = { bare, facade };
  await checkReply(bare.url);
  await checkReply(facade.url);

  const rss = watchRss(facade.pid);
  const load = { seconds: plan.seconds, connections: plan.connections };
  say(`poll: warm-up, ${plan.warmUpSeconds} s each`);
  for (const { url } of Object.values(sides)) {
    await putLoad(children, url, { ...load, seconds: plan.warmUpSeconds, runs: 'distinct' });
  }
  say(`poll: ${plan.rounds} rounds of distinct runs, ${plan.seconds} s each side`);
  const distinct = await compare(children, sides, upstream, plan.rounds, { ...load, runs: 'distinct' });
  say(`poll: ${plan.sameRounds} rounds of one run`);
  const same = await compare(children, sides, upstream, plan.sameRounds, { ...load, runs: 'same' });
  say(`poll: ${plan.sameRounds} rounds of one connection`);
  const alone = await compare(children, sides, upstream, plan.sameRounds, {
    ...load,
    connections: 1,
    runs: 'distinct',
  });
  const rssMb = rss.stop();
  for (const server of [facade, bare, upstream]) await children.end(server);
  return { distinct, same, alone, rssMb };
}

async function compare(
  children: Children,
  sides: { bare: Server; facade: Server },
  upstream: Server,
  rounds: number,
  options: LoadOptions,
): Promise<Comparison> {
  const result: Comparison = { bare: [], facade: [] };
  for (let round = 0; round < rounds; round += 1) {
    // Who is first changes with each round: a machine that warms up or cools down favours neither.
    const order = round % 2 === 0 ? (['bare', 'facade'] as const) : (['facade', 'bare'] as const);
    for (const side of order) result[side].push(await sample(children, sides[side], upstream, options));
  }
  return result;
}

async function sample(
  children: Children,
  server: Server,
  upstream: Server,
  options: LoadOptions,
): Promise<Sample> {
  const calls = await callsOf(upstream);
  const cpu = cpuMs(server.pid);
  const load = await putLoad(children, server.url, options);
  const usedMs = cpuMs(server.pid) - cpu;
  return {
    ...load,
    cpuUs: (usedMs * 1000) / load.requests,
    upstreamCalls: ((await callsOf(upstream)) - calls) / load.requests,
  };
}

async function callsOf(upstream: Server): Promise<number> {
  const { body } = await request(`${upstream.url}/count`);
  return Number(await body.text());
}

/** @throws Error where a side does not pass on the run that was asked for */
async function checkReply(url: string): Promise<void> {
  const id = '6a1c9c1e-0f5b-4a3e-9d53-0e9c6f6b2f11';
  const { body } = await request(`${url}/proxy/flow_runs/${id}/poll`);
  if (!isDeepStrictEqual(await body.json(), flowRun(id))) throw new Error(`${url} changes the reply`);
}
