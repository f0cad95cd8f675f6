import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';

/** A run that a client brought from its creation to COMPLETED. */
export interface EndedRun {
  id: string;
  stateId: string;
  /** When Prefect's reply to the terminal state came, in milliseconds since the epoch. */
  at: number;
}

export interface Load {
  /** Clients that each bring one run after the other to its end. */
  clients: number;
  seconds: number;
  /** Milliseconds that a client waits between two runs. */
  pauseMs?: number;
}

export interface Throughput {
  ended: EndedRun[];
  perSecond: number;
  /** Calls that Prefect refused or dropped. */
  failures: number;
}

const STATES = [
  { type: 'PENDING', name: 'Pending' },
  { type: 'RUNNING', name: 'Running' },
  { type: 'COMPLETED', name: 'Completed' },
];

/** The life of a flow run as a worker makes Prefect go through it: created, PENDING, RUNNING, COMPLETED; over REST. */
export class Lifecycles {
  private readonly pool: Pool;
  private readonly prefix: string;

  private constructor(
    apiUrl: string,
    private readonly suffix: string,
  ) {
    const { origin, pathname } = new URL(apiUrl);
    this.prefix = pathname.replace(/\/+$/, '');
    this.pool = new Pool(origin, { connections: 16, keepAliveTimeout: 4_000, keepAliveMaxTimeout: 4_000 });
  }

  static async of(apiUrl: string): Promise<{ lifecycles: Lifecycles; flowId: string }> {
    const lifecycles = new Lifecycles(apiUrl, Math.random().toString(36).slice(2, 8));
    const { id } = await lifecycles.post<{ id: string }>('/flows/', { name: `bench-${lifecycles.suffix}` });
    return { lifecycles, flowId: id };
  }

  /** Puts a load on Prefect and counts what came to its end within the time. */
  async run(flowId: string, { clients, seconds, pauseMs = 0 }: Load): Promise<Throughput> {
    const ended: EndedRun[] = [];
    let failures = 0;
    const started = performance.now();
    const until = started + seconds * 1000;
    const client = async () => {
      while (performance.now() < until) {
        try {
          ended.push(await this.live(flowId));
        } catch {
          failures += 1;
        }
        if (pauseMs > 0) await sleep(pauseMs);
      }
    };
    await Promise.all(Array.from({ length: clients }, client));
    const took = (performance.now() - started) / 1000;
    return { ended, perSecond: ended.length / took, failures };
  }

  close(): Promise<void> {
    return this.pool.close();
  }

  private async live(flowId: string): Promise<EndedRun> {
    const { id } = await this.post<{ id: string }>('/flow_runs/', { flow_id: flowId });
    let stateId = '';
    for (const state of STATES) {
      const reply = await this.post<{ state: { id: string } }>(`/flow_runs/${id}/set_state`, { state });
      stateId = reply.state.id;
    }
    return { id, stateId, at: Date.now() };
  }

  private async post<T>(path: string, body: unknown): Promise<T> {
    const reply = await this.pool.request({
      method: 'POST',
      path: this.prefix + path,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      headersTimeout: 60_000,
    });
    const text = await reply.body.text();
    if (reply.statusCode >= 300) throw new Error(`Prefect answered ${reply.statusCode} to ${path}`);
    return JSON.parse(text) as T;
  }
}
