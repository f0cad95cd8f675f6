import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { DemoError, type Facade } from './facade.js';

export const flowRun = z.object({
  id: z.string(),
  name: z.string(),
  state: z.object({ type: z.string(), name: z.string(), message: z.string().nullish() }).nullable(),
});
const TERMINAL = ['COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED'];

export interface FollowOptions {
  timeLimitMs: number;
  intervalMs: number;
  workPoolName: string | undefined;
  onState: (name: string) => void;
}

/** Polls a run to its end, as a host does, and throws where that is not COMPLETED. */
export async function followRun(facade: Facade, id: string, options: FollowOptions): Promise<void> {
  const until = Date.now() + options.timeLimitMs;
  let shown = '';
  for (;;) {
    const { state } = await facade.call(flowRun, 'GET', `/proxy/flow_runs/${id}/poll`);
    const name = state?.name ?? 'without a state';
    if (name !== shown) options.onState(name);
    shown = name;
    if (state && TERMINAL.includes(state.type)) {
      if (state.type === 'COMPLETED') return;
      throw new DemoError(`the run ended as ${state.name}: ${state.message ?? 'no message'}`);
    }
    if (Date.now() > until) {
      const limit = `the run is still ${name} after ${Math.round(options.timeLimitMs / 1000)} s`;
      throw new DemoError(`${limit}; ${await aboutWorkers(facade, options.workPoolName)}`);
    }
    await sleep(options.intervalMs);
  }
}

/** The usual reason why a run does not start. */
async function aboutWorkers(facade: Facade, pool: string | undefined): Promise<string> {
  const asked = { status: 'ONLINE', work_pool_names: pool === undefined ? [] : [pool], work_queue_names: [] };
  try {
    const { count } = await facade.call(
      z.object({ count: z.number() }),
      'POST',
      '/proxy/workers/filter/',
      asked,
    );
    const where = pool === undefined ? 'online' : `online in the pool ${pool}`;
    return count === 0
      ? `no worker is ${where}: start one`
      : `${count} worker(s) ${where}: does one serve the queue of this deployment? Its log says more`;
  } catch {
    return 'how many workers are online is not known';
  }
}
