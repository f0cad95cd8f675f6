import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { Host } from '../support/host.js';
import { buildProgram, Program } from '../support/program.js';

vi.setConfig({ testTimeout: 60_000 });

const KEY = 'a-key-that-is-long-enough';

let built: Awaited<ReturnType<typeof buildProgram>>;
beforeAll(async () => {
  built = await buildProgram();
});
afterAll(() => built.remove());

let directory: string;
let program: Program;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'prefect-proxy-'));
});
afterEach(async () => {
  await program.end();
  rmSync(directory, { recursive: true });
});

function start(args: string[], env: Record<string, string> = {}): Program {
  const orchestrator = { PREFECT_API_URL: 'http://127.0.0.1:1/api' };
  program = new Program({
    file: built.file,
    args,
    cwd: directory,
    env: { WEB_CONCURRENCY: '1', ...orchestrator, ...env },
  });
  return program;
}

async function statuses(url: string): Promise<number[]> {
  const host = new Host(url.replace('0.0.0.0', '127.0.0.1'));
  const replies = [
    await host.get('/nope'),
    await host.get('/nope', { headers: { authorization: `Bearer ${KEY}` } }),
    await host.get('/healthz'),
  ];
  await host.close();
  return replies.map(({ status }) => status);
}

describe('An address that others can reach', () => {
  it.each([
    ['--bind', ['serve', '--bind', '0.0.0.0:0'], {}],
    ['a variable', [], { PREFECT_PROXY_API_HOST: '::' }],
  ])('by %s is not listened on without a key; all that is wrong is said', async (_what, args, env) => {
    start(args, { ...env, LOG_LEVEL: 'loud' });
    expect(await program.closed).toEqual([1, null]);
    expect(program.complaints).toMatch(/PREFECT_PROXY_API_HOST.*PROXY_API_KEY/);
    expect(program.complaints).toMatch(/LOG_LEVEL/);
    expect(program.complaints).not.toMatch(/\n\s+at /);
    expect(program.lines).toEqual([]);
  });

  it.each(['1', '2'])('is served with the key of .env (%s workers)', async (workers) => {
    writeFileSync(join(directory, '.env'), `PROXY_API_KEY=${KEY}\n`);
    start(['serve', '--bind', '0.0.0.0:0', '--workers', workers]);
    const [line] = await program.logged('listening');
    if (workers !== '1') await program.serves(Number(workers));
    expect(await statuses(String(line!['url']))).toEqual([401, 404, 200]);
    expect(JSON.stringify(program.lines)).not.toContain(KEY);
    expect(program.lines.filter(({ level }) => level === 'warn')).toEqual([]);
  });

  it('is served to everybody where that is said aloud, and a line warns', async () => {
    start(['serve', '--bind', '0.0.0.0:0'], { ALLOW_UNAUTHENTICATED: 'true' });
    const [line] = await program.logged('listening');
    expect(await statuses(String(line!['url']))).toEqual([404, 404, 200]);
    expect(program.lines.filter(({ level }) => level === 'warn')).toEqual([
      expect.objectContaining({ doubt: expect.stringContaining('ALLOW_UNAUTHENTICATED: no key') as string }),
    ]);
  });
});

describe('Loopback', () => {
  it('needs no key, and asks for one that is set', async () => {
    start(['serve', '--bind', '127.0.0.1:0']);
    const [line] = await program.logged('listening');
    expect(await statuses(String(line!['url']))).toEqual([404, 404, 200]);
    await program.end();
    start(['serve', '--bind', 'localhost:0'], { PROXY_API_KEY: `another-key-for-now, ${KEY}` });
    const [next] = await program.logged('listening');
    expect(await statuses(String(next!['url']))).toEqual([401, 404, 200]);
  });
});
