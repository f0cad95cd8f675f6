import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { z } from 'zod';

// A write on a connection that the server is about to close fails, and must not be repeated.
const noKeepAlive = new Agent({ pipelining: 0 });

const withId = z.looseObject({ id: z.string() });
type Json = Record<string, unknown>;

export interface StateInput {
  type: string;
  name?: string;
  message?: string;
  state_details?: Json;
}

export const COMPLETED: StateInput = { type: 'COMPLETED', name: 'Completed' };
export const FAILED: StateInput = { type: 'FAILED', name: 'Failed' };
export const RUNNING: StateInput = { type: 'RUNNING', name: 'Running' };
export const SCHEDULED: StateInput = { type: 'SCHEDULED', name: 'Scheduled' };

export interface RunInput {
  name?: string;
  deploymentId?: string;
  parameters?: Json;
  tags?: string[];
  parentTaskRunId?: string;
  /** The state that it is made with; Pending where it is not given. */
  state?: StateInput;
  /** Set one after the other, forced. */
  states?: StateInput[];
  flowName?: string;
}

/**
 * Puts things into an orchestrator over its own REST API, in the same way for the mock and for real servers.
 * Names are unique to the seed, so that tests do not meet each other on a shared server.
 */
export class Seed {
  readonly suffix = randomUUID().slice(0, 8);
  private readonly flows = new Map<string, Promise<string>>();
  private readonly underWay = new Set<Promise<undefined>>();

  constructor(readonly apiUrl: string) {}

  name(text: string): string {
    return `${text}-${this.suffix}`;
  }

  /** Calls the orchestrator; repeats the routine 503 of SQLite. */
  async call(method: string, path: string, body?: unknown): Promise<unknown> {
    for (let attempt = 0; ; attempt += 1) {
      const { ok, status, text } = await this.oneOfFew(() => this.send(method, path, body));
      if (ok) return text === '' ? undefined : JSON.parse(text);
      if (status !== 503 || attempt > 20) throw new Error(`${method} ${path}: ${status} ${text}`);
      await sleep(20 * attempt);
    }
  }

  private async send(method: string, path: string, body: unknown) {
    const reply = await request(this.apiUrl + path, {
      method: method,
      dispatcher: noKeepAlive,
      headers: { 'content-type': 'application/json' },
      body: body === undefined ? null : JSON.stringify(body),
    });
    return { ok: reply.statusCode < 300, status: reply.statusCode, text: await reply.body.text() };
  }

  /** SQLite answers 503 to nearly all of 50 writes at once. */
  private async oneOfFew<T>(work: () => Promise<T>): Promise<T> {
    while (this.underWay.size >= 4) await Promise.race(this.underWay);
    const running = work();
    const settled = running.then(
      () => undefined,
      () => undefined,
    );
    this.underWay.add(settled);
    void settled.then(() => this.underWay.delete(settled));
    return running;
  }

  private async create(path: string, body: unknown): Promise<string> {
    return withId.parse(await this.call('POST', path, body)).id;
  }

  flow(name = this.name('flow')): Promise<string> {
    const known = this.flows.get(name) ?? this.create('/flows/', { name });
    this.flows.set(name, known);
    return known;
  }

  async pool(name = this.name('pool')): Promise<string> {
    await this.call('POST', '/work_pools/', { name, type: 'process' }).catch((error: unknown) => {
      if (!String(error).includes('409')) throw error;
    });
    return name;
  }

  async deployment(fields: Json = {}): Promise<string> {
    return this.create('/deployments/', { name: this.name('dep'), flow_id: await this.flow(), ...fields });
  }

  async flowRun(input: RunInput = {}): Promise<string> {
    const id = await this.create('/flow_runs/', {
      flow_id: await this.flow(input.flowName),
      name: input.name ?? this.name('run'),
      parameters: input.parameters ?? {},
      tags: input.tags ?? [],
      ...(input.deploymentId ? { deployment_id: input.deploymentId } : {}),
      ...(input.parentTaskRunId ? { parent_task_run_id: input.parentTaskRunId } : {}),
      state: input.state ?? { type: 'PENDING', name: 'Pending' },
    });
    for (const state of input.states ?? []) await this.setState('flow_runs', id, state);
    return id;
  }

  /** A run that a deployment should have started at some time (ISO) and did not: it has the deployment's pool and queue. */
  lateRun(deploymentId: string, scheduledTime: string): Promise<string> {
    const state = { type: 'SCHEDULED', name: 'Late', state_details: { scheduled_time: scheduledTime } };
    return this.create(`/deployments/${deploymentId}/create_flow_run`, { state });
  }

  async taskRun(
    flowRunId: string,
    name: string,
    states: StateInput[] = [],
    parents: string[] = [],
  ): Promise<string> {
    const id = await this.create('/task_runs/', {
      flow_run_id: flowRunId,
      task_key: name,
      dynamic_key: `${name}-${randomUUID()}`,
      name,
      task_inputs: { x: parents.map((parent) => ({ input_type: 'task_run', id: parent })) },
      state: { type: 'PENDING', name: 'Pending' },
    });
    for (const state of states) await this.setState('task_runs', id, state);
    return id;
  }

  /** A subflow of a run, with the parent task run that stands for it. */
  async subflow(
    parentRunId: string,
    input: RunInput = {},
    parents: string[] = [],
  ): Promise<{ id: string; parentTaskRunId: string }> {
    const parentTaskRunId = await this.taskRun(parentRunId, input.name ?? 'sub', [], parents);
    return { id: await this.flowRun({ ...input, parentTaskRunId }), parentTaskRunId };
  }

  async setState(kind: 'flow_runs' | 'task_runs', id: string, state: StateInput): Promise<void> {
    await this.call('POST', `/${kind}/${id}/set_state`, { state, force: true });
  }

  /** The artifact of the flows in `flows/`. */
  async result(flowRunId: string, tasks: unknown[]): Promise<void> {
    const body = { key: 'task-results', type: 'result', data: { tasks }, flow_run_id: flowRunId };
    await this.call('POST', '/artifacts/', body);
  }

  async logs(
    rows: { flowRunId: string; taskRunId?: string; message: string; level?: number; at?: number }[],
  ): Promise<void> {
    const begin = Date.parse('2026-01-01T00:00:00Z');
    await this.call(
      'POST',
      '/logs/',
      rows.map(({ flowRunId, taskRunId, message, level = 20, at = 0 }) => ({
        name: 'seed',
        level,
        message,
        timestamp: new Date(begin + at).toISOString(),
        flow_run_id: flowRunId,
        ...(taskRunId ? { task_run_id: taskRunId } : {}),
      })),
    );
  }
}

/** An ISO time as microseconds since 1970. */
export function micros(time: string): number {
  const [seconds = '', fraction = ''] = time.replace('Z', '').split('.');
  return Date.parse(`${seconds}Z`) * 1000 + Number(fraction.padEnd(6, '0'));
}

/** Microseconds since 1970 as an ISO time, all six digits of the fraction. */
export function isoTime(microseconds: number): string {
  const fraction = String(microseconds % 1_000_000).padStart(6, '0');
  return `${new Date(Math.floor(microseconds / 1000)).toISOString().slice(0, 19)}.${fraction}Z`;
}
