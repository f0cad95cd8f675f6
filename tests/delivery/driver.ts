import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { RefusedError, type Orchestrator } from './orchestrator.js';
import type { EndedState, Held, Plan, Run, StateInput } from './runs.js';

export interface DriverOptions {
  orchestrator: Orchestrator;
  /** Runs that end in a second. */
  rate: number;
  /** Seconds for which failed runs keep what they declared. */
  graceSeconds: number;
  /** Called before a run ends, and right after each terminal state's reply. */
  beforeEnd?: (run: Run) => Promise<void> | void;
  afterEnd?: (run: Run, state: EndedState) => void;
}

interface State {
  id: string;
  type: string;
  name: string;
  timestamp: string;
  message: string | null;
}

const PARALLEL = 4;
const LEASE_SECONDS = 3_600;
const ENOUGH_SLOTS = 100_000;

/** Makes flow runs over Prefect's REST API, and lets them end. */
export class Driver {
  private readonly api: Orchestrator;
  /** Milliseconds that the orchestrator took for each state change: how busy it and the machine are. */
  readonly changes: number[] = [];

  /** @param suffix sets this round's names apart from others' on the same server */
  constructor(
    private readonly options: DriverOptions,
    private readonly suffix: string,
  ) {
    this.api = options.orchestrator;
  }

  /** The tag, and the global limit, of which the runs hold slots. */
  get tag(): string {
    return `tag-${this.suffix}`;
  }
  get limit(): string {
    return `limit-${this.suffix}`;
  }

  /** Makes the runs; each is RUNNING and has what it holds. */
  async prepare(plans: Plan[]): Promise<{ plan: Plan; run: Run }[]> {
    const flow = await this.create('/flows/', { name: `flow-${this.suffix}` });
    await this.create('/concurrency_limits/', { tag: this.tag, concurrency_limit: ENOUGH_SLOTS });
    await this.create('/v2/concurrency_limits/', { name: this.limit, limit: ENOUGH_SLOTS, active: true });
    const secret = await this.secretType();
    const made: { plan: Plan; run: Run }[] = [];
    await inParallel(plans, async (plan, index) => {
      made[index] = { plan, run: await this.make(plan, flow, secret) };
    });
    return made;
  }

  private async secretType() {
    const { id: block_type_id } = await this.api.call<{ id: string }>('GET', '/block_types/slug/secret');
    const filter = { block_schemas: { block_type_id: { any_: [block_type_id] } } };
    const [schema] = await this.api.call<{ id: string }[]>('POST', '/block_schemas/filter', filter);
    return { block_type_id, block_schema_id: schema!.id };
  }

  private async make(plan: Plan, flowId: string, secret: Record<string, string>): Promise<Run> {
    const has = (what: keyof Held) => plan.holds.includes(what);
    const name = `d-${randomUUID()}`;
    const blocks = has('blocks')
      ? [await this.create('/block_documents/', { ...secret, name, data: { value: 'x' } })]
      : [];
    const deployments = has('deployments')
      ? [await this.create('/deployments/', { name, flow_id: flowId })]
      : [];
    const leases = has('leases') ? [await this.lease()] : [];
    const cleanup = { block_documents: blocks, deployments, concurrency_leases: leases };
    const isEmpty = blocks.length + deployments.length + leases.length === 0;
    const id = await this.create('/flow_runs/', {
      flow_id: flowId,
      name: plan.name,
      idempotency_key: name,
      state: { type: 'RUNNING', name: 'Running' },
      ...(deployments[0] && { deployment_id: deployments[0] }),
      ...(!isEmpty && { labels: { 'prefect-proxy.cleanup': JSON.stringify(cleanup) } }),
    });
    const slotHolders = has('slotHolders') ? [await this.takeTagSlot(id)] : [];
    const held = { blocks, deployments, leases, slotHolders };
    return { id, name: plan.name, course: plan.course, held, ended: [], complaints: [] };
  }

  private async create(path: string, body: unknown): Promise<string> {
    return (await this.api.call<{ id: string }>('POST', path, body)).id;
  }

  private async lease(): Promise<string> {
    const body = { slots: 1, names: [this.limit], lease_duration: LEASE_SECONDS };
    const path = '/v2/concurrency_limits/increment-with-lease';
    return (await this.api.call<{ lease_id: string }>('POST', path, body)).lease_id;
  }

  /** As Prefect's engine does it: the state of a task run that is set over REST takes no slot. */
  private async takeTagSlot(flowRunId: string): Promise<string> {
    const id = await this.create('/task_runs/', {
      flow_run_id: flowRunId,
      task_key: 'task',
      dynamic_key: '0',
      tags: [this.tag],
      state: { type: 'RUNNING', name: 'Running' },
    });
    await this.api.call('POST', '/concurrency_limits/increment', { names: [this.tag], task_run_id: id });
    return id;
  }

  /** Ends the runs at the rate, one after the other, whatever the orchestrator takes for each; resolves when all have. */
  async endAll(made: { plan: Plan; run: Run }[]): Promise<void> {
    const started = Date.now();
    await Promise.all(
      made.map(async ({ plan, run }, index) => {
        await sleep(Math.max(0, started + (index * 1000) / this.options.rate - Date.now()));
        await this.options.beforeEnd?.(run);
        await this.end(run, plan.end);
      }),
    );
  }

  private async end(run: Run, state: StateInput): Promise<void> {
    if (run.course === 'superseded') {
      await this.finish(run, { type: 'CRASHED', name: 'Crashed' });
      await sleep(Math.random() * 400);
    }
    if (run.course === 'revived') await this.failAndRetry(run);
    await this.finish(run, state);
  }

  /** FAILED, and RUNNING again before its resources are gone; RUNNING for longer than a failed run would keep them. */
  private async failAndRetry(run: Run): Promise<void> {
    const { graceSeconds } = this.options;
    const failed = await this.finish(run, { type: 'FAILED', name: 'Failed' });
    const now = new Date().toISOString();
    const awaiting = { type: 'SCHEDULED', name: 'AwaitingRetry', state_details: { scheduled_time: now } };
    await this.setState(run, awaiting);
    await this.setState(run, { type: 'RUNNING', name: 'Running' });
    const isInTime = Date.now() - failed.at < graceSeconds * 1000;
    await sleep((graceSeconds + 1) * 1000);
    if (!isInTime) return;
    const { blocks, deployments } = run.held;
    const left = [
      ...(await this.api.byIds('block_documents', blocks)),
      ...(await this.api.byIds('deployments', deployments)),
    ];
    if (left.length < blocks.length + deployments.length)
      run.complaints.push('was retried, and what it holds was taken from it while it ran');
  }

  private async finish(run: Run, input: StateInput): Promise<EndedState> {
    const { id, type, name, at } = await this.setState(run, input);
    const state = { id, type, name, at };
    run.ended.push(state);
    this.options.afterEnd?.(run, state);
    return state;
  }

  /**
   * Sets a state exactly once: where no reply came, the run is read to see whether the change was made.
   * Forced, so that only its own order counts.
   */
  private async setState(run: Run, input: { type: string; name: string }): Promise<State & { at: number }> {
    const message = `delivery proof ${randomUUID()}`;
    const body = { state: { ...input, message }, force: true };
    for (;;) {
      const path = `/flow_runs/${run.id}/set_state`;
      const sent = Date.now();
      const reply = await this.api.once<{ state: State; status: string }>('POST', path, body).catch(passing);
      if (reply && reply.status !== 'ACCEPT') throw new Error(`${run.name}: ${input.name} was not accepted`);
      if (reply) {
        const at = Date.now();
        this.changes.push(at - sent);
        return { ...reply.state, at };
      }
      await sleep(Math.random() * 200);
      const { state } = await this.api.call<{ state: State }>('GET', `/flow_runs/${run.id}`);
      if (state.message === message) return { ...state, at: Date.parse(state.timestamp) };
    }
  }

  /** Removes the runs that do not end, so that later rounds do not see them. */
  async remove(runs: Run[]): Promise<void> {
    await inParallel(runs, (run) => this.api.call('DELETE', `/flow_runs/${run.id}`));
  }
}

/** Nothing where the change may or may not have been made. */
function passing(error: unknown): undefined {
  if (error instanceof RefusedError && error.status !== 503) throw error;
}

async function inParallel<T>(items: T[], work: (item: T, index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const index = next++;
      await work(items[index]!, index);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
}
