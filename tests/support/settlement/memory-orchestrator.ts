import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { PrefectClient, type CallOptions, type PrefectSession } from '../../../src/prefect/client.js';
import { UpstreamError } from '../../../src/prefect/errors.js';
import type { RawReply } from '../../../src/prefect/exchange.js';
import type { ApiPath } from '../../../src/prefect/path.js';
import { replyError } from '../../../src/prefect/reply-error.js';
import { LABELS } from '../../../src/services/settlement/progress.js';

export type EndType = 'COMPLETED' | 'FAILED' | 'CRASHED' | 'CANCELLED';

interface MemoryState {
  id: string;
  type: EndType | 'RUNNING' | 'SCHEDULED';
  name: string;
  timestamp: string;
}

export interface MemoryRun {
  id: string;
  name: string;
  parent_task_run_id: string | null;
  end_time: string | null;
  labels: Record<string, string>;
  state: MemoryState;
}

/**
 * What happens to a call: it fails before or after it did its work, something in between answers in the orchestrator's
 * place (a page, or JSON of its own), its reply is cut, or whoever calls is killed in that moment.
 */
export type CallFate =
  | '503'
  | '500'
  | 'reset'
  | 'lost reply'
  | 'foreign page 404'
  | 'foreign page 409'
  | 'foreign JSON 404'
  | 'foreign JSON 409'
  | 'cut reply'
  | 'killed before'
  | 'killed after';

const FOREIGN: Partial<Record<CallFate | 'well', RawReply>> = {
  'foreign page 404': foreign(404, '<html>404 page not found</html>', 'text/html'),
  'foreign page 409': foreign(409, '<html>Conflict</html>', 'text/html'),
  'foreign JSON 404': foreign(404, '{"message":"no Route matched with those values"}', 'application/json'),
  'foreign JSON 409': foreign(409, '{"detail":"Conflict"}', 'application/json'),
};

function foreign(status: number, text: string, contentType: string): RawReply {
  return { status, text, contentType, retryAfter: undefined };
}

/** What a caller shares with those that may end it. */
export interface Life {
  isDead: boolean;
}

/** The part of an orchestrator that settlement uses, in memory: calls take no time and are answered in order. */
export class MemoryOrchestrator {
  readonly runs = new Map<string, MemoryRun>();
  /** Every terminal state that a run was ever in, as `run:state`, with its type. */
  readonly ends = new Map<string, EndType>();
  /** Blocks, deployments and leases that exist, each with the run that holds it. */
  readonly held = new Map<string, string>();
  /** Task runs that hold a slot of a tag, each with its flow run. */
  readonly slots = new Map<string, string>();
  /** Runs that make every list with them a 500, as those with a broken label do. */
  readonly poisoned = new Set<string>();
  readonly variables = new Map<string, unknown>();
  /** What was taken from a run that lives or that may still be retried. */
  readonly stolen: string[] = [];
  /** Of the next calls, in order; then all goes well. */
  fates: (CallFate | 'well')[] = [];
  /** Of the next call of a kind, e.g. `DELETE deployments`. */
  readonly fatesOf = new Map<string, CallFate>();

  /** @param graceSeconds how long nothing may be taken from a run that failed or crashed */
  constructor(private readonly graceSeconds: number) {}

  start(): MemoryRun {
    const id = randomUUID();
    const [blocks, deployments, leases, slot] = [
      [randomUUID()],
      [randomUUID()],
      [randomUUID()],
      randomUUID(),
    ];
    for (const thing of [...blocks, ...deployments, ...leases]) this.held.set(thing, id);
    this.slots.set(slot, id);
    const cleanup = { block_documents: blocks, deployments, concurrency_leases: leases };
    const run: MemoryRun = {
      id,
      name: `run-${this.runs.size}`,
      parent_task_run_id: null,
      end_time: null,
      labels: { [LABELS.cleanup]: JSON.stringify(cleanup) },
      state: newState('RUNNING'),
    };
    this.runs.set(id, run);
    return run;
  }

  /** As Prefect does: a terminal state that replaces another one leaves the time of the end as it was. */
  end(run: MemoryRun, type: EndType): void {
    run.state = newState(type);
    run.end_time ??= run.state.timestamp;
    this.ends.set(`${run.id}:${run.state.id}`, type);
  }

  retry(run: MemoryRun): void {
    run.state = newState('SCHEDULED');
    run.end_time = null;
  }

  /** Answers a call, unless its fate is another one. @throws UpstreamError */
  async call<T>(life: Life, method: string, path: string, { body, parse }: CallOptions<T>): Promise<T> {
    // Nothing that a killed process asks for happens.
    await Promise.resolve();
    const fate = life.isDead ? 'killed before' : this.fateOf(`${method} ${path.split('/')[1] ?? ''}`);
    if (fate === 'killed before') return die(life);
    if (fate === '503' || fate === '500') throw new UpstreamError('status', { status: Number(fate) });
    if (fate === 'reset') throw new UpstreamError('unreachable');
    const page = fate && FOREIGN[fate];
    if (page) throw replyError(page);
    const text = this.answer(method, path, body);
    await Promise.resolve();
    if (fate === 'killed after') return die(life);
    if (fate === 'lost reply') throw new UpstreamError('unreachable');
    // As the client does: what cannot be parsed is not Prefect's.
    if (fate === 'cut reply') throw new UpstreamError('shape', { status: 200 });
    return parse(text, text === '' ? 204 : 200);
  }

  private fateOf(kind: string): CallFate | 'well' | undefined {
    const fate = this.fatesOf.get(kind);
    this.fatesOf.delete(kind);
    return fate ?? this.fates.shift();
  }

  private answer(method: string, path: string, body: unknown): string {
    const [, noun = '', ...rest] = path.split('/');
    const known = this.routes[`${method} ${noun}`];
    if (!known) throw new Error(`the orchestrator in memory knows no ${method} ${path}`);
    const result = known(rest, body);
    return result === undefined ? '' : JSON.stringify(result);
  }

  private readonly routes: Record<string, (rest: string[], body: unknown) => unknown> = {
    'GET flow_runs': ([id = '']) => this.runs.get(id) ?? notFound(),
    'POST flow_runs': (_rest, body) => this.filterRuns(runFilter.parse(body)),
    'GET flow_run_states': () => [],
    // Nothing is logged here, and nothing can be shown that lists do not show.
    'POST events': () => ({ events: [] }),
    'POST ui': () => [],
    'PATCH flow_runs': ([id = ''], body) => {
      const run = this.runs.get(id) ?? notFound();
      run.labels = { ...run.labels, ...labels.parse(body) };
    },
    'DELETE block_documents': ([id = '']) => {
      this.remove(id);
    },
    'DELETE deployments': ([id = '']) => {
      this.remove(id);
    },
    'POST v2': ([, what], body) => {
      if (what === 'filter') return [{ id: TAG, name: `tag:${TAG}`, active_slots: this.slots.size }];
      const { lease_id: lease } = z.object({ lease_id: z.string() }).parse(body);
      if (this.held.has(lease)) this.remove(lease);
    },
    'GET concurrency_limits': () => ({
      id: TAG,
      tag: TAG,
      concurrency_limit: 100,
      active_slots: [...this.slots.keys()],
    }),
    'POST concurrency_limits': (_rest, body) => {
      const { task_run_id: holder } = z.object({ task_run_id: z.string() }).parse(body);
      this.check(holder, this.slots.get(holder), false);
      this.slots.delete(holder);
      return [];
    },
    'POST task_runs': ([what], body) => {
      const { task_runs, flow_runs } = taskFilter.parse(body);
      const of = (id: string) => flow_runs.id.any_.includes(this.slots.get(id) ?? '');
      const found = task_runs.id.any_.filter(of).map((id) => ({ id }));
      return what === 'count' ? found.length : found;
    },
    'GET variables': ([, name = '']) =>
      this.variables.has(name) ? { value: this.variables.get(name) } : notFound(),
    'PATCH variables': ([, name = ''], body) => {
      if (!this.variables.has(name)) notFound();
      this.variables.set(name, z.object({ value: z.unknown() }).parse(body).value);
    },
    'POST variables': (_rest, body) => {
      const { name, value } = z.object({ name: z.string(), value: z.unknown() }).parse(body);
      if (this.variables.has(name)) throw new UpstreamError('status', { status: 409 });
      this.variables.set(name, value);
      return { id: randomUUID() };
    },
  };

  private filterRuns({ flow_runs: wanted, limit, offset = 0 }: z.infer<typeof runFilter>): MemoryRun[] {
    // Nobody has subflows here.
    if (wanted.parent_flow_run_id) return [];
    const all = [...this.runs.values()];
    if (wanted.id) return all.filter(({ id }) => wanted.id?.any_.includes(id)).slice(0, limit);
    const { after_ = '', before_ = '9999' } = wanted.end_time ?? {};
    const page = all
      .filter(({ end_time }) => end_time !== null && end_time >= after_ && end_time <= before_)
      .sort((a, b) => (String(a.end_time) < String(b.end_time) ? 1 : -1))
      .slice(offset, offset + limit);
    if (page.some(({ id }) => this.poisoned.has(id))) throw new UpstreamError('status', { status: 500 });
    return page;
  }

  private remove(thing: string): void {
    this.check(thing, this.held.get(thing), true);
    if (!this.held.delete(thing)) notFound();
  }

  private check(thing: string, holder: string | undefined, hasGrace: boolean): void {
    const run = this.runs.get(holder ?? '');
    if (!run) return;
    const lives = run.end_time === null;
    const age = (Date.now() - Date.parse(run.state.timestamp)) / 1000;
    const mayBeRetried =
      hasGrace && ['FAILED', 'CRASHED'].includes(run.state.type) && age < this.graceSeconds;
    if (lives || mayBeRetried) this.stolen.push(`${thing} of ${run.name}, ${run.state.type} for ${age} s`);
  }
}

/** A client of it, as one process has. */
export class MemoryClient extends PrefectClient {
  constructor(
    private readonly orchestrator: MemoryOrchestrator,
    private readonly life: Life,
  ) {
    super({
      apiUrl: 'http://127.0.0.1:9/api',
      timeoutSeconds: 1,
      connections: 1,
      queue: 1,
      maxReplyBytes: 1_000_000,
      retry: false,
      retryDelaySeconds: 0,
    });
  }

  override session(): PrefectSession {
    const call =
      (method: string) =>
      <T>(path: ApiPath, options: CallOptions<T>) =>
        this.orchestrator.call(this.life, method, path.text, options);
    const remove = call('DELETE');
    return {
      get: call('GET'),
      post: call('POST'),
      patch: call('PATCH'),
      delete: (path) => remove(path, { retry: 'idempotent', parse: () => undefined }),
      stats: { calls: 0, milliseconds: 0 },
    };
  }
}

const TAG = 'some';
const labels = z.record(z.string(), z.string());
const any = z.object({ any_: z.array(z.string()) });
const runFilter = z.object({
  flow_runs: z.object({
    id: any.optional(),
    parent_flow_run_id: any.optional(),
    end_time: z.object({ after_: z.string(), before_: z.string().optional() }).optional(),
  }),
  limit: z.number(),
  offset: z.number().optional(),
});
const taskFilter = z.object({ task_runs: z.object({ id: any }), flow_runs: z.object({ id: any }) });

function newState(type: MemoryState['type']): MemoryState {
  return { id: randomUUID(), type, name: type, timestamp: new Date().toISOString() };
}

function notFound(): never {
  throw new UpstreamError('status', { status: 404 });
}

/** Ends the one who waits: no answer ever comes. */
export function die(life: Life): Promise<never> {
  life.isDead = true;
  return new Promise(() => undefined);
}
