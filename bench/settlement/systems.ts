import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { ensurePrefect, PrefectServer } from '../../tests/delivery/prefect-server.js';
import { findPostgres, Postgres } from '../../tests/support/postgres.js';
import type { Children } from '../lib/children.js';
import { startCountingProxy, type CountingProxy } from '../lib/counting-proxy.js';
import { say } from '../lib/limited.js';
import { startFacade, type FacadeServer } from '../lib/servers.js';
import { startHost, type Host } from './host.js';

/** A facade as it is by default, with a host, on a Prefect server; what it asks is counted. */
export interface WithFacade {
  prefect: PrefectServer;
  proxy: CountingProxy;
  host: Host;
  facade: FacadeServer;
}

/** Starts a PostgreSQL cluster of its own. @throws Error where its programs are missing */
export function startPostgres(): Promise<Postgres> {
  const programs = findPostgres();
  if (programs === undefined) throw new Error('This bench needs PostgreSQL: apt-get install postgresql');
  return Postgres.start(programs);
}

/** Starts a Prefect server on a database of its own. */
export async function startServer(
  children: Children,
  { version, name, postgres }: { version: string; name: string; postgres: Postgres },
): Promise<PrefectServer> {
  const python = await ensurePrefect(version, say);
  const logFile = join(children.directory, `${name}.log`);
  return PrefectServer.start({ children, python, name, logFile, database: postgres.createDatabase() });
}

/** Puts a facade and a host beside a Prefect server. @param settings over the facade's defaults */
export async function addFacade(
  children: Children,
  prefect: PrefectServer,
  settings: Record<string, string> = {},
): Promise<WithFacade> {
  const proxy = await startCountingProxy(prefect.apiUrl);
  const host = await startHost();
  const facade = await startFacade(children, 'facade', proxy.apiUrl, {
    HOST_WEBHOOK_URL: host.url,
    PREFECT_NOTIFICATIONS_WEBHOOK_KEY: randomBytes(16).toString('hex'),
    // An empty value counts as not set: what a facade does by default, and the other benches switch off.
    RECONCILE_INTERVAL: '',
    WEBHOOK_AUTO_REGISTER: '',
    ...settings,
  });
  return { prefect, proxy, host, facade };
}
