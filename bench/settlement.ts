import { setTimeout as sleep } from 'node:timers/promises';
import { limitedChildren } from './lib/limited.js';
import { machine } from './report.js';
import { Lifecycles, type Load } from './settlement/lifecycles.js';
import { isQuick, serverVersion } from './settlement/options.js';
import { addFacade, startPostgres, startServer } from './settlement/systems.js';

/*
 * Which calls to Prefect a facade makes for each run that ends, by kind: for runs that end one by one, and under load;
 * and how many it makes in a minute in which nothing happens.
 * `npm run bench -- --only settlement [--server 3.8.8] [--quick]`
 */
const TIME_LIMIT_MS = 300_000;
const LOADS: Record<string, Load> = isQuick()
  ? {
      'one run each two seconds': { clients: 1, seconds: 16, pauseMs: 2_000 },
      'eight clients': { clients: 8, seconds: 10 },
    }
  : {
      'one run each two seconds': { clients: 1, seconds: 60, pauseMs: 2_000 },
      'eight clients': { clients: 8, seconds: 30 },
    };
const IDLE_SECONDS = isQuick() ? 20 : 60;
/** Until what follows an end has followed: clean-up, labels, the sweep that finds all in order. */
const SETTLED_MS = 5_000;

const version = serverVersion();
const children = limitedChildren(TIME_LIMIT_MS);
try {
  const postgres = await startPostgres();
  const prefect = await startServer(children, { version, name: 'prefect', postgres });
  const { proxy, host } = await addFacade(children, prefect);
  const { lifecycles, flowId } = await Lifecycles.of(prefect.apiUrl);
  const before = machine();
  await lifecycles.run(flowId, { clients: 2, seconds: 3 });
  await sleep(SETTLED_MS);

  const lines: string[] = [];
  for (const [name, load] of Object.entries(LOADS)) {
    const kinds = new Map(proxy.kinds());
    const { ended } = await lifecycles.run(flowId, load);
    await sleep(SETTLED_MS);
    lines.push(
      '',
      `${name}: ${ended.length} runs ended`,
      ...table(since(kinds, proxy.kinds()), ended.length, 'a run'),
    );
  }
  const kinds = new Map(proxy.kinds());
  await sleep(IDLE_SECONDS * 1000);
  lines.push('', 'idle', ...table(since(kinds, proxy.kinds()), IDLE_SECONDS / 60, 'a minute'));
  process.stdout.write(`\n${before}\n\nPrefect ${version} on PostgreSQL${lines.join('\n')}\n`);
  await lifecycles.close();
  proxy.close();
  host.close();
} finally {
  await children.endAll();
}

function since(before: ReadonlyMap<string, number>, now: [string, number][]): [string, number][] {
  return now.map(([kind, count]) => [kind, count - (before.get(kind) ?? 0)]);
}

function table(kinds: [string, number][], divisor: number, unit: string): string[] {
  const rows = kinds.filter(([, count]) => count > 0).toSorted(([, one], [, other]) => other - one);
  const sum = rows.reduce((total, [, count]) => total + count, 0);
  const row = (name: string, count: number) =>
    `  ${(count / divisor).toFixed(2).padStart(7)} ${unit}   ${name}`;
  return [...rows.map(([kind, count]) => row(kind, count)), row('in all', sum)];
}
