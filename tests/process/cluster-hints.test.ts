import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Host } from '../support/host.js';
import { buildProgram, Program } from '../support/program.js';

let built: Awaited<ReturnType<typeof buildProgram>>;
let program: Program;
beforeAll(async () => {
  built = await buildProgram('tests/support/hints-program.ts');
});
afterAll(() => built.remove());
afterEach(() => program.end());

describe('A notification', () => {
  it.each(['1', '2'])('reaches the tasks of the machine (%s processes)', async (WEB_CONCURRENCY) => {
    program = new Program({
      file: built.file,
      cwd: '.',
      env: {
        PREFECT_API_URL: 'http://127.0.0.1:1/api',
        PREFECT_NOTIFICATIONS_WEBHOOK_KEY: 'key',
        RECONCILE_INTERVAL: '15',
        WEB_CONCURRENCY,
      },
    });
    const host = new Host(String((await program.logged('listening'))[0]!['url']));
    const [run, other, state] = [randomUUID(), randomUUID(), randomUUID()];
    const headers = { 'x-notification-key': 'key' };
    const sentence = `Flow run calm-owl with id ${run} entered state Completed`;
    await host.post('/webhooks/v1/notification/', { body: sentence }, { headers });
    const ofOther = {
      id: state,
      event: 'prefect.flow-run.Completed',
      resource: { 'prefect.resource.id': `prefect.flow-run.${other}`, 'prefect.state-type': 'COMPLETED' },
    };
    await host.post('/webhooks/v1/notification/', ofOther, { headers });
    const hints = await program.logged('hint', 2);
    expect(hints).toMatchObject([
      { pid: program.pid, flowRunId: run },
      { pid: program.pid, flowRunId: other, stateId: state },
    ]);
    expect(hints[0]).not.toHaveProperty('stateId');
    await host.close();
    program.signal('SIGTERM');
    expect(await program.closed).toEqual([0, null]);
    expect(program.lines.at(-1)).toMatchObject({ message: 'tasks closed' });
  });
});
