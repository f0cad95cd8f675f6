import { z } from 'zod';
import type { PrefectClient, PrefectSession } from '../../prefect/client.js';
import * as variables from '../../prefect/variables.js';

export const WITHOUT_RUN_STATES = ['pending', 'delivered', 'dead', 'unknown'] as const;

export interface DeliveryWithoutRun {
  flowRunId: string;
  stateId: string | null;
  /** ISO time. */
  notedAt: string;
  /** `unknown`: it is gone, and nothing is known of its end. */
  delivery: (typeof WITHOUT_RUN_STATES)[number];
}

/** As arrays, because a Variable holds 5,000 characters. */
const stored = z.object({
  deliveries: z.array(z.tuple([z.string(), z.string().nullable(), z.string(), z.enum(WITHOUT_RUN_STATES)])),
});
/** Some 115 characters each. */
const MOST = 40;
const GATHER_MS = 500;

/**
 * The deliveries of runs that hold no labels of ours: deleted runs, and runs that cannot be read. Noted in a Variable, the
 * latest 40, so that a restart goes on with what is pending and repeats nothing of what is delivered.
 */
export class DeliveriesWithoutRun {
  private readonly unwritten = new Map<string, DeliveryWithoutRun>();
  private writing: Promise<void> = Promise.resolve();
  private timer: NodeJS.Timeout | undefined;

  /** @param onFailure is told why a note could not be written; it goes with the next one */
  constructor(
    private readonly client: PrefectClient,
    private readonly variable: string,
    private readonly onFailure: (error: unknown) => void,
  ) {}

  /** Notes what became of a delivery, a moment later. */
  note(flowRunId: string, stateId: string | null, delivery: DeliveryWithoutRun['delivery']): void {
    this.unwritten.set(flowRunId, { flowRunId, stateId, notedAt: isoSeconds(), delivery });
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.writing = this.writing.then(() => this.write());
    }, GATHER_MS);
  }

  /** The latest first. @throws UpstreamError */
  async list(api: PrefectSession): Promise<DeliveryWithoutRun[]> {
    return readAll(api, this.variable);
  }

  /** Writes what is not written. */
  async close(): Promise<void> {
    clearTimeout(this.timer);
    await this.writing;
    await this.write();
  }

  private async write(): Promise<void> {
    if (this.unwritten.size === 0) return;
    const ours = new Map(this.unwritten);
    this.unwritten.clear();
    try {
      const api = this.client.session();
      const others = (await this.list(api)).filter(({ flowRunId }) => !ours.has(flowRunId));
      const all = [...[...ours.values()].reverse(), ...others].slice(0, MOST);
      const rows = all.map((one) => [one.flowRunId, one.stateId, one.notedAt, one.delivery]);
      await variables.write(api, this.variable, { deliveries: rows });
    } catch (error) {
      for (const [id, one] of ours) if (!this.unwritten.has(id)) this.unwritten.set(id, one);
      this.onFailure(error);
    }
  }
}

/** What a Variable of `DeliveriesWithoutRun` holds, the latest first. @throws UpstreamError */
export async function readAll(api: PrefectSession, variable: string): Promise<DeliveryWithoutRun[]> {
  const { data } = stored.safeParse(await variables.read(api, variable));
  return (data?.deliveries ?? []).map(([flowRunId, stateId, notedAt, delivery]) => ({
    flowRunId,
    stateId,
    notedAt,
    delivery,
  }));
}

function isoSeconds(): string {
  return `${new Date().toISOString().slice(0, 19)}Z`;
}
