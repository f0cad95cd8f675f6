import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Driver } from './driver.js';
import { inspect } from './inspection.js';
import type { Round } from './rounds.js';
import { planLivingRuns, planRuns, type Run } from './runs.js';
import type { Scene } from './scene.js';
import { CLEANUP_GRACE, RECONCILE_INTERVAL, type Stage } from './stage.js';
import { judge, percentile, type Problem, type Verdict } from './verifier.js';

export interface PlayOptions {
  runs: number;
  /** Runs that end in a second, at most. */
  rate: number;
  /** Worker processes of a facade. */
  workers: number;
  quick: boolean;
}

export interface Result extends Verdict {
  round: Round;
  /** Everything that failed. */
  problems: Problem[];
  outages: number;
  /** Milliseconds that half of the state changes took at the orchestrator. */
  changeMs: number;
  /** Requests of the facades to the orchestrator, for each run that ended. */
  calls: number;
  limitMs: number;
  seconds: number;
}

const HEALTHY_MS = 500;
const AFTER_LOSS_MS = RECONCILE_INTERVAL * 1000 + 2_000;
const USUAL_MIX = { superseded: 8, revived: 8 };
/** How long what is open may take after the last run ended. */
const DEADLINE_MS = { quick: 45_000, full: 150_000 };

/** A round that takes longer hangs. */
const LONGEST_MS = { quick: 300_000, full: 1_800_000 };

/** Plays one round on a stage: runs are made, end while something is broken, and are then verified. Never throws. */
export async function play(stage: Stage, round: Round, options: PlayOptions): Promise<Result> {
  const limit = new AbortController();
  const longest = LONGEST_MS[options.quick ? 'quick' : 'full'];
  const hung = sleep(longest, undefined, { signal: limit.signal }).then(() => {
    throw new Error(`the round did not end within ${longest / 1000} s`);
  });
  try {
    return await Promise.race([playThrough(stage, round, options), hung]);
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    const problem = { kind: 'broken', text };
    return {
      ...NOTHING,
      round,
      problems: [problem],
      outages: 0,
      changeMs: NaN,
      calls: NaN,
      limitMs: NaN,
      seconds: NaN,
    };
  } finally {
    limit.abort();
    hung.catch(() => undefined);
  }
}

const NOTHING: Verdict = {
  wrong: [],
  open: [],
  ended: 0,
  delivered: 0,
  duplicates: 0,
  earlierEnds: { delivered: 0, of: 0 },
  p50: NaN,
  p95: NaN,
  max: NaN,
};

async function playThrough(stage: Stage, round: Round, options: PlayOptions): Promise<Result> {
  const started = Date.now();
  const { runs: count, quick } = options;
  const limitMs = round.limit === 'healthy' ? HEALTHY_MS : AFTER_LOSS_MS;
  await stage.open(round.name, {
    instances: round.instances,
    workers: round.workers ?? options.workers,
    webhook: round.webhook,
    facades: round.facades,
  });
  let begun = 0;
  const scene: Scene = {
    host: stage.host,
    other: stage.other,
    proxy: stage.proxy,
    relay: stage.relay,
    prefect: stage.prefect,
    facades: stage.facades,
    webhookKey: stage.webhookKey,
    quick,
    prefectSettings: round.prefectSettings ?? {},
    outages: [],
    vain: [],
    share: () => begun / count,
  };
  const driver = new Driver(
    {
      orchestrator: stage.orchestrator,
      rate: Math.min(options.rate, count / (round.seconds?.(quick) ?? Infinity) || Infinity),
      graceSeconds: CLEANUP_GRACE,
      beforeEnd: async (run) => {
        await scene.beforeEnd?.(run);
        begun += 1;
      },
      afterEnd: (run, state) => scene.afterEnd?.(run, state),
    },
    randomUUID().slice(0, 8),
  );
  const plans = [...planLivingRuns(round.name), ...planRuns(count, round.name, round.mix ?? USUAL_MIX)];
  const made = await driver.prepare(plans);
  await Promise.all([round.play?.(scene), driver.endAll(made.filter(({ plan }) => plan.course !== 'lives'))]);

  const runs = made.map(({ run }) => run);
  const verdict = await verify(stage, {
    hears: round.hears ?? 'host',
    runs,
    driver,
    scene,
    limitMs,
    deadlineMs: DEADLINE_MS[quick ? 'quick' : 'full'],
  });
  await stage.closeFacades();
  await driver.remove(runs.filter(({ course }) => course === 'lives'));
  for (const run of runs) stage.earlier.set(run.id, run);
  const seconds = (Date.now() - started) / 1000;
  const vain = scene.vain.map((text) => ({ kind: 'proves nothing', text }));
  const problems = [...verdict.wrong, ...verdict.open, ...vain];
  const changeMs = percentile(
    driver.changes.toSorted((a, b) => a - b),
    0.5,
  );
  const calls = stage.proxy.calls / count;
  return { ...verdict, round, problems, outages: scene.outages.length, changeMs, calls, limitMs, seconds };
}

interface Asked {
  hears: NonNullable<Round['hears']>;
  runs: Run[];
  driver: Driver;
  scene: Scene;
  limitMs: number;
  deadlineMs: number;
}

/** Judges again and again until nothing is open, or time is up. */
async function verify(
  stage: Stage,
  { hears, runs, driver, scene, limitMs, deadlineMs }: Asked,
): Promise<Verdict> {
  const until = Date.now() + deadlineMs;
  const { outages } = scene;
  for (;;) {
    const { host, other } = stage;
    const deliveries = hears === 'either' ? [...host.deliveries, ...other.deliveries] : host.deliveries;
    const evidence = { runs, earlier: stage.earlier, deliveries, outages, limitMs };
    const told = judge({ ...evidence, sights: undefined });
    if (hears === 'both') {
      const second = judge({ ...evidence, deliveries: other.deliveries, sights: undefined });
      told.open.push(...second.open);
      second.wrong.forEach(({ text }) => scene.vain.includes(text) || scene.vain.push(text));
    }
    const asked = Date.now();
    const isLate = asked > until;
    // The orchestrator is asked only when the host knows it all: it has enough to do.
    if (told.open.length === 0 || isLate) {
      const verdict = judge({ ...evidence, sights: await inspect(stage.orchestrator, runs, driver) });
      if (told.open.length > verdict.open.length) verdict.open.push(...told.open);
      if (verdict.open.length === 0 || isLate) return verdict;
    }
    // Half of its time is for the facade.
    await sleep(Math.max(300, Date.now() - asked));
  }
}
