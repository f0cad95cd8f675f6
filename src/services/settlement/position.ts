import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { PrefectSession } from '../../prefect/client.js';
import * as variables from '../../prefect/variables.js';

const isoTime = z.iso.datetime({ offset: true });
const stored = z.object({
  /** The latest end of a run that was seen, ISO, by the orchestrator's clock. */
  position: isoTime,
  /** The earliest end of a run that was not finished then. */
  open_since: isoTime.nullable(),
  /** When a channel that began without a look-back was started first. */
  since: isoTime.exactOptional(),
  leader: z.string(),
  /** Another one with each sweep: whoever waits sees by it that the leader lives, without comparing clocks. */
  beat: z.string(),
  /** The fingerprint of where the leader delivers to. */
  target: z.string().exactOptional(),
});
export type Position = Pick<z.infer<typeof stored>, 'position' | 'open_since' | 'since'>;

/**
 * `follower`: another instance leads, and delivers to the same host. `standby`: it delivers somewhere else under the same
 * name, so that nothing may be delivered or noted here.
 */
export type Role = 'leader' | 'follower' | 'standby';

export interface SharedPositionOptions {
  /** The Prefect Variable that all instances share. */
  variable: string;
  /** This instance's name, the same after a restart. */
  name: string;
  /** The fingerprint of where this instance delivers to; undefined if it delivers nowhere. */
  target?: string | undefined;
  /** How long a leader may be silent before another takes over. */
  silenceMs: number;
  now?: () => number;
}

/** The time from which on a channel without a look-back delivers, ISO; undefined if there is none. @throws UpstreamError */
export async function readBeginning(api: PrefectSession, variable: string): Promise<string | undefined> {
  return stored.safeParse(await variables.read(api, variable)).data?.since;
}

/**
 * Where the reconciler is, and who sweeps: both in one Variable. A lease of a concurrency limit would be lost with a
 * restart of the server while its slot stays taken (leases live in its memory). Two leaders for a moment do no harm.
 */
export class SharedPosition {
  private readonly now: () => number;
  private lastBeat: string | undefined;
  private lastSeen = 0;

  constructor(private readonly options: SharedPositionOptions) {
    this.now = options.now ?? (() => performance.now());
  }

  /** Reads the position, and what this instance is to be. A Variable that is absent or not ours counts as none. */
  async read(api: PrefectSession): Promise<{ position: Position | undefined; role: Role }> {
    const { variable, name, silenceMs } = this.options;
    const { data } = stored.safeParse(await variables.read(api, variable));
    if (!data) return { position: undefined, role: 'leader' };
    if (data.beat !== this.lastBeat) {
      this.lastBeat = data.beat;
      this.lastSeen = this.now();
    }
    const isFree = data.leader === '' || this.now() - this.lastSeen > silenceMs;
    const role = data.leader === name || isFree ? 'leader' : this.roleBeside(data.target);
    return { position: data, role };
  }

  /** Notes the position, as the leader. */
  write(api: PrefectSession, position: Position): Promise<void> {
    return this.store(api, position, this.options.name);
  }

  /** Notes the position and lets another one lead at once. */
  handOver(api: PrefectSession, position: Position): Promise<void> {
    return this.store(api, position, '');
  }

  /** A leader of an earlier release does not say where it delivers to. */
  private roleBeside(target: string | undefined): Role {
    return target === undefined || target === this.options.target ? 'follower' : 'standby';
  }

  private async store(api: PrefectSession, position: Position, leader: string): Promise<void> {
    const { variable, target } = this.options;
    const beat = randomUUID();
    this.lastBeat = beat;
    this.lastSeen = this.now();
    const value = { ...position, leader, beat, ...(target === undefined ? {} : { target }) };
    await variables.write(api, variable, value);
  }
}
