import { readFileSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { request } from 'undici';
import { ready, type Child, type Children } from './children.js';

/** The project's root. */
export const root = new URL('../..', import.meta.url).pathname;

export interface Server extends Child {
  url: string;
}

/** Starts a server of `bench/servers/`. */
export async function startServer(
  children: Children,
  name: 'upstream' | 'pass-through' | 'stalling-upstream' | 'crowd',
  env: Record<string, string> = {},
): Promise<Server> {
  const logFile = join(children.directory, `${name}.log`);
  // One of that name may have been there before, at another address.
  rmSync(logFile, { force: true });
  const args = ['--import', 'tsx', `bench/servers/${name}.ts`];
  const child = await children.start(name, process.execPath, args, { cwd: root, env, logFile });
  let url: string | undefined;
  await ready(child, () => {
    url = /^listening (\S+)$/m.exec(readFileSync(logFile, 'utf8'))?.[1];
    return url !== undefined;
  });
  return { ...child, url: url ?? '' };
}

export interface FacadeServer extends Server {
  /** From its spawn to the first 200 of /healthz. */
  startMs: number;
}

/** Starts the built facade, one process, as in production: its log is JSON lines, written to a file. */
export async function startFacade(
  children: Children,
  name: string,
  apiUrl: string,
  more: Record<string, string> = {},
): Promise<FacadeServer> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const logFile = join(children.directory, `${name}.log`);
  const env = {
    PREFECT_API_URL: apiUrl,
    PREFECT_PROXY_API_PORT: String(port),
    WEB_CONCURRENCY: '1',
    WEBHOOK_AUTO_REGISTER: 'false',
    // Settlement would ask the fake upstream for what it does not have.
    RECONCILE_INTERVAL: '0',
    ...more,
  };
  const started = performance.now();
  // Not the project's root as the directory: a .env there is for the user's own facade.
  // The flags of `npm start`.
  const args = ['--max-semi-space-size=4', '--heap-growing-percent=50', join(root, 'dist', 'cli.js')];
  const child = await children.start(name, process.execPath, args, { cwd: children.directory, env, logFile });
  await ready(child, () => isOk(`${url}/healthz`), { withinMs: 20_000, everyMs: 4 });
  return { ...child, url, startMs: performance.now() - started };
}

/** Whether a GET is answered with 200. */
export async function isOk(url: string): Promise<boolean> {
  try {
    const reply = await request(url, { reset: true, headersTimeout: 2_000, bodyTimeout: 2_000 });
    await reply.body.dump();
    return reply.statusCode === 200;
  } catch {
    return false;
  }
}

/** A port of loopback that nobody listens on at the moment. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => {
        resolve(port);
      });
    });
  });
}
