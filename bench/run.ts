import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Children } from './lib/children.js';
import { requireWrk } from './lib/wrk.js';
import { benchPoll } from './poll.js';
import { ensurePython } from './prefect/server.js';
import { benchReads } from './reads.js';
import { machine, report } from './report.js';
import { benchStart } from './start-time.js';

const TIME_LIMIT_MS = 240_000;

const full = {
  poll: { rounds: 5, sameRounds: 3, seconds: 4, warmUpSeconds: 10, connections: 32 },
  starts: 5,
  reads: { repetitions: 15, budgetMs: 35_000 },
};
const quick = {
  poll: { rounds: 3, sameRounds: 1, seconds: 2, warmUpSeconds: 5, connections: 32 },
  starts: 3,
  reads: { repetitions: 5, budgetMs: 10_000 },
};

const say = (line: string) => void process.stderr.write(`${line}\n`);

try {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      // Read by `tax` and `settlement`.
      server: { type: 'string' },
    },
  });
  if (values.only === 'wait') {
    await import('./wait.js');
  } else if (values.only === 'sync') {
    await import('./sync.js');
  } else if (values.only === 'overload') {
    await import('./overload.js');
  } else if (values.only === 'bodies') {
    await import('./bodies.js');
  } else if (values.only === 'tax') {
    await import('./tax.js');
  } else if (values.only === 'settlement') {
    await import('./settlement.js');
  } else {
    requireWrk();
    const given = process.env['BENCH_PREFECT_API_URL']?.replace(/\/+$/, '');
    const server = given ? { apiUrl: given } : { python: await ensurePython(say) };
    await bench(server, values.quick ? quick : full);
  }
} catch (error) {
  failed(error);
}

function failed(error: unknown): undefined {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}

async function bench(server: { apiUrl: string } | { python: string }, plan: typeof full): Promise<void> {
  const children = new Children(mkdtempSync(join(tmpdir(), 'prefect-proxy-bench-')));
  const limit = setTimeout(() => {
    say(`The bench took longer than ${TIME_LIMIT_MS / 1000} s: given up.`);
    process.exit(1);
  }, TIME_LIMIT_MS);
  try {
    const before = machine();
    const startMs = await benchStart(children, plan.starts);
    const poll = await benchPoll(children, plan.poll, say);
    const reads = await benchReads(children, server, plan.reads, say).catch(failed);
    process.stdout.write(`\n${before}\n\n${report({ poll, startMs, reads })}\n`);
  } finally {
    clearTimeout(limit);
    await children.endAll();
  }
}
