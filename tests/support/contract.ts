import { afterAll, afterEach, beforeAll, expect, inject } from 'vitest';
import { startFacade, type Facade } from './facade.js';
import { GRAPH_NODES } from './graph-limit.js';
import { Host } from './host.js';
import { startMockOrchestrator, type MockOrchestrator } from './mock/index.js';
import { Seed } from './seed.js';

declare module 'vitest' {
  interface ProvidedContext {
    /** A real server's API; the mock is used where it is not given. */
    orchestratorUrl: string | undefined;
  }
}

export interface Contract {
  host: Host;
  seed: Seed;
  facade: Facade;
  /** Only without a real server. */
  mock: MockOrchestrator | undefined;
  apiUrl: string;
}

/**
 * A facade in front of an orchestrator, for a whole test file: the mock in `npm test`, a real server in
 * `npm run test:live`. The object is filled before the first test runs.
 */
export function contract(env: Record<string, string> = {}): Contract {
  const shared = {} as Contract;
  beforeAll(async () => {
    const live = inject('orchestratorUrl');
    shared.mock = live ? undefined : await startMockOrchestrator({ graphNodes: GRAPH_NODES });
    shared.apiUrl = live ?? shared.mock?.url ?? '';
    shared.facade = await startFacade(shared.apiUrl, env);
    shared.host = new Host(shared.facade.url);
    shared.seed = new Seed(shared.apiUrl);
  });
  afterEach(() => {
    expect(shared.mock?.unexpected.splice(0) ?? []).toEqual([]);
  });
  afterAll(async () => {
    await shared.host.close();
    await shared.facade.close();
    await shared.mock?.close();
  });
  return shared;
}

/** How many upstream calls the last request took, by its log line. */
export function lastUpstreamCalls(facade: Facade): number {
  return Number(facade.lines.findLast((line) => line.message === 'request')?.['upstream_calls']);
}
