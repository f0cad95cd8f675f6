import { setTimeout as sleep } from 'node:timers/promises';
import { request } from 'undici';
import { ready } from './lib/children.js';
import { limitedChildren, say } from './lib/limited.js';
import { processes, rssMb } from './lib/proc.js';
import { startFacade, startServer } from './lib/servers.js';
import { machine, table } from './report.js';
import { KINDS, type Asked } from './servers/kinds.js';

/*
 * 2,000 hosts, and an orchestrator that stalls for 30 s and then is slow: `npm run bench -- --only overload`
 */
const HOSTS = 2_000;
const SAMPLE_MS = 100;
/** A reply that took longer is slow, where the slowest before the stall did not. */
const SLOW_MS = 500;
const WARM_UP_MS = 6_000;
const STALL_MS = 30_000;
const AFTER_MS = 8_000;
const SLOW_FOR_MS = 15_000;
const TIME_LIMIT_MS = 600_000;

const SCENES = [
  { workers: 1, stall: 'hold' },
  { workers: 2, stall: 'hold' },
  { workers: 1, stall: 'drop' },
] as const;
type Scene = (typeof SCENES)[number];

interface Sample {
  at: number;
  healthMs: number;
  /** Of each process of the facade. */
  rssMb: number[];
}

interface Span {
  from: number;
  to: number;
}

interface Result {
  scene: Scene;
  samples: Sample[];
  replies: Asked[];
  before: Span;
  stall: Span;
  after: Span;
  slow: Span;
}

const children = limitedChildren(TIME_LIMIT_MS);
try {
  const before = machine();
  process.stdout.write(`\n${before}\n`);
  for (const scene of SCENES) process.stdout.write(`\n${report(await play(scene))}\n`);
} finally {
  await children.endAll();
}

async function play(scene: Scene): Promise<Result> {
  const name = nameOf(scene);
  const upstream = await startServer(children, 'stalling-upstream');
  const facade = await startFacade(
    children,
    `facade-${scene.workers}-${scene.stall}`,
    `${upstream.url}/api`,
    {
      WEB_CONCURRENCY: String(scene.workers),
    },
  );
  const crowd = await startServer(children, 'crowd', { FACADE: facade.url, HOSTS: String(HOSTS) });
  try {
    say(`${name}: ${HOSTS} hosts connect`);
    await ready(crowd, async () => Number(await get(`${crowd.url}/ready`)) === HOSTS, {
      withinMs: 180_000,
      everyMs: 500,
    });
    const sampling = sample(facade);
    const span = async (mood: string, milliseconds: number): Promise<Span> => {
      await get(`${upstream.url}/mood/${mood}`);
      const from = Date.now();
      await sleep(milliseconds);
      return { from, to: Date.now() };
    };
    const before = await span('well', WARM_UP_MS);
    say(`${name}: the orchestrator stalls for ${STALL_MS / 1000} s`);
    const stall = await span(scene.stall, STALL_MS);
    const after = await span('well', AFTER_MS);
    say(`${name}: the orchestrator is slow for ${SLOW_FOR_MS / 1000} s`);
    const slow = await span('slow', SLOW_FOR_MS);
    const samples = await sampling.stop();
    const replies = JSON.parse(await get(`${crowd.url}/replies`)) as Asked[];
    return { scene, samples, replies, before, stall, after, slow };
  } finally {
    for (const child of [crowd, facade, upstream]) await children.end(child);
  }
}

/** Looks at memory and health again and again, as a load balancer would: over a new connection each time. */
function sample({ url, pid }: { url: string; pid: number }): { stop: () => Promise<Sample[]> } {
  const samples: Sample[] = [];
  const asked: Promise<unknown>[] = [];
  const timer = setInterval(() => {
    const at = performance.now();
    const one: Sample = {
      at: Date.now(),
      healthMs: Infinity,
      rssMb: processes(pid).map((each) => rssMb(each, false)),
    };
    samples.push(one);
    const reply = request(`${url}/healthz`, { reset: true }).then(async ({ statusCode, body }) => {
      await body.dump();
      if (statusCode === 200) one.healthMs = performance.now() - at;
    });
    asked.push(reply.catch(() => undefined));
  }, SAMPLE_MS);
  return {
    stop: async () => {
      clearInterval(timer);
      await Promise.all(asked);
      return samples;
    },
  };
}

async function get(url: string): Promise<string> {
  const { body } = await request(url);
  return body.text();
}

function report(result: Result): string {
  const { scene, replies, before, stall, after, slow } = result;
  const spans = (['before', 'stall', 'after', 'slow'] as const).map((span) => spanRow(result, span));
  const usualMs = Math.max(SLOW_MS, ...latencies(replies, before).slice(-1));
  const isBad = ({ status }: Asked) => status === 0 || status >= 300;
  const isSlow = ({ sent, done }: Asked) => done - Math.max(sent, stall.to) > usualMs;
  const lastAfter = (is: (reply: Asked) => boolean) =>
    Math.max(
      0,
      ...within(replies, { from: stall.to, to: after.to })
        .filter(is)
        .map(({ done }) => done - stall.to),
    );
  const lost = replies.filter(({ status }) => status === 0).length;
  const unexplained = replies.filter(({ status, hasRetryAfter }) => status === 503 && !hasRetryAfter).length;
  return [
    nameOf(scene),
    table([['', 'healthz p50', 'p99', 'max ms', 'RSS of each process, most, MB'], ...spans]),
    '',
    table([
      ['replies', ...KINDS.flatMap((kind) => [`${kind} 2xx`, '503', '504', 'other'])],
      ['stall', ...KINDS.flatMap((kind) => statuses(result, stall, kind))],
      ['slow', ...KINDS.flatMap((kind) => statuses(result, slow, kind))],
    ]),
    `after the stall: last reply that is no 2xx at ${lastAfter(isBad)} ms, last one slower than the slowest before ` +
      `(${usualMs} ms, 500 at least) at ${lastAfter(isSlow)} ms`,
    `${lost} connections broke; ${unexplained} times 503 without Retry-After`,
  ].join('\n');
}

function nameOf({ workers, stall }: Scene): string {
  const how = stall === 'hold' ? 'answers afterwards' : 'never answers what came';
  return `${workers} worker${workers === 1 ? '' : 's'}; an orchestrator that stalls and ${how}`;
}

function spanRow({ samples, ...spans }: Result, name: 'before' | 'stall' | 'after' | 'slow'): string[] {
  const { from, to } = spans[name];
  const within = samples.filter(({ at }) => at >= from && at < to);
  const health = within.map(({ healthMs }) => healthMs).toSorted((a, b) => a - b);
  const at = (part: number) =>
    (health[Math.min(health.length - 1, Math.floor(health.length * part))] ?? NaN).toFixed(1);
  const count = Math.max(...within.map(({ rssMb: each }) => each.length));
  const most = Array.from({ length: count }, (_, n) =>
    Math.max(...within.map(({ rssMb: each }) => each[n] ?? 0)),
  );
  return [name, at(0.5), at(0.99), at(1), most.map((mb) => mb.toFixed(0)).join(' + ')];
}

/** The replies that came within a span. */
function within(replies: Asked[], { from, to }: Span): Asked[] {
  return replies.filter(({ done }) => done >= from && done < to);
}

/** In milliseconds, the longest last. */
function latencies(replies: Asked[], span: Span): number[] {
  return within(replies, span)
    .map(({ sent, done }) => done - sent)
    .toSorted((a, b) => a - b);
}

function statuses({ replies }: Result, span: Span, kind: Asked['kind']): string[] {
  const came = within(replies, span).filter((reply) => reply.kind === kind);
  const count = (is: (status: number) => boolean) => String(came.filter(({ status }) => is(status)).length);
  const isOk = (status: number) => status >= 200 && status < 300;
  return [
    count(isOk),
    count((status) => status === 503),
    count((status) => status === 504),
    count((status) => !isOk(status) && status !== 503 && status !== 504),
  ];
}
