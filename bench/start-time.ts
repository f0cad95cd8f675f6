import type { Children } from './lib/children.js';
import { startFacade } from './lib/servers.js';

/** Milliseconds of each start, from spawn to the first 200 of /healthz. The upstream is not asked, so none runs. */
export async function benchStart(children: Children, starts: number): Promise<number[]> {
  const times: number[] = [];
  for (let start = 0; start < starts; start += 1) {
    const facade = await startFacade(children, `facade-start-${start}`, 'http://127.0.0.1:9/api');
    times.push(facade.startMs);
    await children.end(facade);
  }
  return times;
}
