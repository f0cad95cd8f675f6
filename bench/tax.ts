import { setTimeout as sleep } from 'node:timers/promises';
import { limitedChildren, say } from './lib/limited.js';
import { cpuMs } from './lib/proc.js';
import { median, medianRatio, range } from './lib/stats.js';
import { machine } from './report.js';
import { Lifecycles, type EndedRun, type Throughput } from './settlement/lifecycles.js';
import { isQuick, serverVersion } from './settlement/options.js';
import { addFacade, startPostgres, startServer, type WithFacade } from './settlement/systems.js';

/*
 * What a facade costs Prefect: how many run lifecycles a second a Prefect server takes with a facade beside it, divided
 * by how many an equal server takes without one. Both servers use one PostgreSQL cluster, one is loaded at a time, and
 * they take turns. `npm run bench -- --only tax [--server 3.8.8] [--quick]`
 */
const TIME_LIMIT_MS = 420_000;
const CLIENTS = 8;
const WARM_UP_SECONDS = 5;
const { rounds, seconds } = isQuick() ? { rounds: 3, seconds: 8 } : { rounds: 5, seconds: 15 };
/** How long the last notifications of a round may take. */
const DRAIN_MS = 60_000;

const version = serverVersion();
const children = limitedChildren(TIME_LIMIT_MS);
try {
  const postgres = await startPostgres();
  const [alone, accompanied] = await Promise.all(
    ['prefect-alone', 'prefect-with-facade'].map((name) =>
      startServer(children, { version, name, postgres }),
    ),
  );
  if (!alone || !accompanied) throw new Error('the servers did not start');
  const system = await addFacade(children, accompanied);
  const sides = {
    without: await Lifecycles.of(alone.apiUrl),
    with: await Lifecycles.of(accompanied.apiUrl),
  };
  const before = machine();
  const load = ({ lifecycles, flowId }: (typeof sides)['with'], duration: number): Promise<Throughput> =>
    lifecycles.run(flowId, { clients: CLIENTS, seconds: duration });
  await load(sides.without, WARM_UP_SECONDS);
  await drained(system, (await load(sides.with, WARM_UP_SECONDS)).ended);

  const without: number[] = [];
  const withFacade: number[] = [];
  const ended: EndedRun[] = [];
  let calls = 0;
  let facadeCpu = 0;
  let failures = 0;
  for (let round = 0; round < rounds; round += 1) {
    const rest = async () => {
      const result = await load(sides.without, seconds);
      without.push(result.perSecond);
      failures += result.failures;
    };
    const loaded = async () => {
      const [callsBefore, cpuBefore] = [system.proxy.count(), cpuMs(system.facade.pid)];
      const result = await load(sides.with, seconds);
      withFacade.push(result.perSecond);
      ended.push(...result.ended);
      failures += result.failures;
      await drained(system, result.ended);
      calls += system.proxy.count() - callsBefore;
      facadeCpu += cpuMs(system.facade.pid) - cpuBefore;
    };
    // Who begins changes with each round: what comes first finds a machine that has rested.
    for (const side of round % 2 === 0 ? [rest, loaded] : [loaded, rest]) await side();
    say(`round ${round + 1}: ${without.at(-1)?.toFixed(1)} without, ${withFacade.at(-1)?.toFixed(1)} with`);
  }

  const latencies = ended
    .map(({ id, stateId, at }) => (system.host.arrivals.get(`${id}:${stateId}`) ?? NaN) - at)
    .toSorted((a, b) => a - b);
  const at = (share: number) =>
    latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))];
  const ratios = withFacade.map((value, index) => value / (without[index] ?? NaN));
  process.stdout.write(
    [
      '',
      before,
      '',
      `Prefect ${version} on PostgreSQL, ${CLIENTS} clients, ${rounds} rounds of ${seconds} s a side`,
      `lifecycles a second      ${median(without).toFixed(1)} without a facade, ${median(withFacade).toFixed(1)} with one`,
      `ratio                    ${medianRatio(withFacade, without).toFixed(2)} (${range(ratios)})`,
      `calls for each ended run ${(calls / ended.length).toFixed(2)}`,
      `facade's CPU for each    ${(facadeCpu / ended.length).toFixed(1)} ms`,
      `delivered after          ${at(0.5)} ms (median), ${at(0.95)} ms (p95), ${at(1)} ms (most)`,
      `delivered                ${latencies.filter((one) => !Number.isNaN(one)).length} of ${ended.length}; ${system.host.count()} notifications in all`,
      `refused lifecycles       ${failures}`,
      '',
    ].join('\n'),
  );
  await Promise.all([sides.without.lifecycles.close(), sides.with.lifecycles.close()]);
  system.proxy.close();
  system.host.close();
} finally {
  await children.endAll();
}

/** Waits until the host knows of all these ends, and Prefect has calmed down. */
async function drained({ host, proxy }: WithFacade, ended: EndedRun[]): Promise<void> {
  const until = performance.now() + DRAIN_MS;
  const isKnown = ({ id, stateId }: EndedRun) => host.arrivals.has(`${id}:${stateId}`);
  while (!ended.every(isKnown) && performance.now() < until) await sleep(100);
  // Labels and clean-up come after the news.
  for (let quiet = 0, calls = proxy.count(); quiet < 5 && performance.now() < until;) {
    await sleep(300);
    quiet = proxy.count() === calls ? quiet + 1 : 0;
    calls = proxy.count();
  }
}
