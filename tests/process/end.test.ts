import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { buildProgram, Program } from '../support/program.js';

vi.setConfig({ testTimeout: 60_000 });

/** An orchestrator that takes connections and says nothing. */
let silent: Server;
const sockets = new Set<Socket>();
let program: Program;
let built: Awaited<ReturnType<typeof buildProgram>>;
const directory = mkdtempSync(join(tmpdir(), 'prefect-proxy-'));
beforeAll(async () => {
  built = await buildProgram();
  silent = createServer((socket) => sockets.add(socket.on('error', () => undefined)));
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
});
afterEach(() => program.end());
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  silent.close();
  await built.remove();
  rmSync(directory, { recursive: true });
});

it.each([1, 2])(
  'SIGTERM ends it with 0, though the orchestrator never answers (workers: %i)',
  async (workers) => {
    program = new Program({
      file: built.file,
      cwd: directory,
      env: {
        PREFECT_API_URL: `http://127.0.0.1:${(silent.address() as AddressInfo).port}/api`,
        PREFECT_API_TIMEOUT: '3600',
        RECONCILE_INTERVAL: '15',
        GRACEFUL_TIMEOUT: '1',
        WEB_CONCURRENCY: String(workers),
      },
    });
    await program.logged('listening');
    // Settlement has asked.
    await vi.waitUntil(() => sockets.size > 0);
    program.signal('SIGTERM');
    expect(await program.closed).toEqual([0, null]);
  },
);
