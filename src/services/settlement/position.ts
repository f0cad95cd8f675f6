import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { PrefectSession } from '../../prefect/client.js';
import * as variables from '../../prefect/variables.js';

/** The Prefect Variable that all instances share. */
const VARIABLE = 'prefect_proxy_reconciler';

const isoTime = z.iso.datetime({ offset: true });
const stored = z.object({
  /** The latest end of a run that was seen, ISO, by the orchestrator's clock. */
  position: isoTime,
  /** The earliest end of a run that was not finished then. */
  open_since: isoTime.nullable(),
  leader: z.string(),
  /** Another one with each sweep: whoever waits sees by it that the leader lives, without comparing clocks. */
  beat: z.string(),
});
export type Position = Pick<z.infer<typeof stored>, 'position' | 'open_since'>;

/**
 * Where the reconciler is, and who sweeps: both in one Variable. A lease of a concurrency limit would be lost with a
 * restart of the server while its slot stays taken (leases live in its memory). Two leaders for a moment do no harm.
 */
export class SharedPosition {
  private lastBeat: string | undefined;
  private lastSeen = 0;

  /**
   * @param name this instance's, the same after a restart
   * @param silenceMs how long a leader may be silent before another takes over
   */
  constructor(
    private readonly name: string,
    private readonly silenceMs: number,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Reads the position, and whether to lead. A Variable that is absent or not ours counts as none. */
  async read(api: PrefectSession): Promise<{ position: Position | undefined; leads: boolean }> {
    const parsed = stored.safeParse(await variables.read(api, VARIABLE));
    if (!parsed.success) return { position: undefined, leads: true };
    const { leader, beat } = parsed.data;
    if (beat !== this.lastBeat) {
      this.lastBeat = beat;
      this.lastSeen = this.now();
    }
    const isSilent = this.now() - this.lastSeen > this.silenceMs;
    return { position: parsed.data, leads: leader === this.name || leader === '' || isSilent };
  }

  /** Notes the position, as the leader. */
  write(api: PrefectSession, position: Position): Promise<void> {
    return this.store(api, position, this.name);
  }

  /** Notes the position and lets another one lead at once. */
  handOver(api: PrefectSession, position: Position): Promise<void> {
    return this.store(api, position, '');
  }

  private async store(api: PrefectSession, position: Position, leader: string): Promise<void> {
    const beat = randomUUID();
    this.lastBeat = beat;
    this.lastSeen = this.now();
    await variables.write(api, VARIABLE, { ...position, leader, beat });
  }
}
