import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config.js';
import { runDeliveriesCommand, type DeliveriesCommand } from '../../src/process/deliveries-command.js';
import { bar, table, timeAgo } from '../../src/process/deliveries/text.js';
import { Channel, DEFAULT_CHANNEL } from '../../src/services/settlement/channel.js';
import { startFacade, type Facade } from '../support/facade.js';
import { startMockOrchestrator, type MockOrchestrator } from '../support/mock/index.js';
import { COMPLETED, FAILED, RUNNING, Seed } from '../support/seed.js';

const { labels: NOTED } = new Channel(DEFAULT_CHANNEL);

let mock: MockOrchestrator;
let facade: Facade;
let seed: Seed;
beforeAll(async () => {
  mock = await startMockOrchestrator();
  facade = await startFacade(mock.url, { HOST_WEBHOOK_URL: 'http://127.0.0.1:9/' });
  seed = new Seed(mock.url);
});
afterAll(async () => {
  await facade.close();
  await mock.close();
});

/** Runs a command; on a terminal where there are updates. */
async function command(what: DeliveriesCommand, { url = facade.url, apiKey = '', terminal = false } = {}) {
  const lines: string[] = [];
  const updates: string[] = [];
  const code = await runDeliveriesCommand(what, {
    config: loadConfig({}),
    root: '/nowhere',
    url,
    apiKey: apiKey || undefined,
    say: (line) => lines.push(line),
    update: terminal ? (line) => updates.push(line) : undefined,
  });
  return { code, lines, updates };
}

interface Run {
  id: string;
  end_time: string;
  state: { id: string };
}
async function ended(state = COMPLETED, name = seed.name('run')): Promise<Run> {
  return (await seed.call(
    'GET',
    `/flow_runs/${await seed.flowRun({ name, states: [RUNNING, state] })}`,
  )) as Run;
}
const giveUp = ({ id, state }: Run) =>
  seed.call('PATCH', `/flow_runs/${id}/labels`, {
    [NOTED.delivery]: JSON.stringify({
      state: state.id,
      attempts: 11,
      next: null,
      last: 'timeout',
      dead: true,
    }),
  });
const short = (time: string) => time.replace(/\.\d+/, '');

describe('prefect-proxy deliveries list', () => {
  it('shows a table, the latest first', async () => {
    const first = await ended(COMPLETED, 'amber-otter');
    const second = await ended(FAILED, 'two\nlines \u001b[31m');
    await giveUp(second);
    const { lines, code } = await command({ name: 'list', since: first.end_time, until: second.end_time });
    expect(lines).toEqual([
      `ENDED                 FLOW RUN                              STATE      DELIVERY  FAILED  NEXT ATTEMPT  LAST     CLEANED  NAME`,
      `${short(second.end_time)}  ${second.id}  Failed     dead      11      -             timeout  no       two\\nlines \\u001b[31m`,
      `${short(first.end_time)}  ${first.id}  Completed  pending   0       -             -        no       amber-otter`,
      '2 runs',
    ]);
    expect(code).toBe(0);
  });

  it('as JSON, with a state only', async () => {
    const run = await ended();
    await giveUp(run);
    const { lines } = await command({ name: 'list', since: run.end_time, state: 'dead', json: true });
    expect(JSON.parse(lines.join('\n'))).toMatchObject([
      { flow_run_id: run.id, delivery: 'dead', attempts: 11 },
    ]);
    const delivered = await command({ name: 'list', since: '2h', state: 'delivered', json: true });
    expect(delivered.lines).toEqual(['[]']);
  });

  it('reads on to the end', async () => {
    const runs: Run[] = [];
    for (let n = 0; n < 205; n += 1) runs.push(await ended());
    const [first, last] = [runs[0]!, runs.at(-1)!];
    const range = { since: first.end_time, until: last.end_time };
    const { lines, updates } = await command({ name: 'list', ...range }, { terminal: true });
    for (const { id } of runs) expect(lines.filter((line) => line.includes(id))).toHaveLength(1);
    expect(lines.at(-1)).toBe('205 runs');
    expect(updates).toEqual(['200 runs', '']);
  });
});

describe('prefect-proxy deliveries replay', () => {
  it('says the webhook-id', async () => {
    const run = await ended();
    expect(await command({ name: 'replay', flowRunId: run.id })).toMatchObject({
      code: 0,
      lines: [`✓ the host will be told again, as webhook-id ${run.id}:${run.state.id}`],
    });
  });

  it.each(['../../../healthz', 'a b?c#d'])('%s is no run', async (flowRunId) => {
    expect(await command({ name: 'replay', flowRunId })).toMatchObject({
      code: 1,
      lines: [expect.stringMatching(/^✗ 404: /) as string],
    });
  });
});

describe('prefect-proxy deliveries recover', () => {
  let range: { since: string; until: string };
  beforeAll(async () => {
    const runs: Run[] = [];
    for (let n = 0; n < 150; n += 1) runs.push(await ended());
    for (const run of runs.slice(0, 5)) await giveUp(run);
    range = { since: runs[0]!.end_time, until: runs.at(-1)!.end_time };
  });

  it('on a terminal shows a bar, which is gone at the end', async () => {
    const { code, lines, updates } = await command({ name: 'recover', ...range }, { terminal: true });
    expect(code).toBe(0);
    expect(lines).toEqual(['✓ the host will be told again of 150 runs']);
    expect(updates).toEqual([
      expect.stringMatching(/^\[#+\.*\] {1,3}\d+ % 100 runs, down to \S+Z$/) as string,
      '',
    ]);
  });

  it('elsewhere says a line for each part', async () => {
    const { lines } = await command({ name: 'recover', ...range });
    expect(lines).toEqual([
      expect.stringMatching(/^100 runs, down to /) as string,
      `150 runs, down to ${short(range.since)}`,
      '✓ the host will be told again of 150 runs',
    ]);
  });

  it('until now where no end is given', async () => {
    const run = await ended();
    await giveUp(run);
    const { lines } = await command({ name: 'recover', since: run.end_time, state: 'dead' });
    expect(lines.at(-1)).toBe('✓ the host will be told again of 1 run');
  });

  it('that breaks off says where to go on', async () => {
    let calls = 0;
    mock.fault(({ path }) =>
      path === '/flow_runs/filter' && (calls += 1) > 1 ? { status: 501 } : undefined,
    );
    const { code, lines } = await command({ name: 'recover', ...range });
    mock.reset();
    expect(code).toBe(1);
    expect(lines.slice(1)).toEqual([
      expect.stringMatching(/^100 runs will be told again; go on with --until 20/) as string,
      '✗ 502: failed to recover deliveries',
    ]);
    const until = lines[1]!.split(' ').at(-1)!;
    const rest = await command({ name: 'recover', since: range.since, until });
    // That one included, which was the last one told.
    expect(rest.lines.at(-1)).toBe('✓ the host will be told again of 51 runs');
  });
});

describe('What goes wrong', () => {
  it.each([
    [{ name: 'list', state: 'lost' }, /^✗ 422: state: /],
    [{ name: 'list', since: 'soon' }, /^✗ 422: since: Input should be a valid datetime/],
    [{ name: 'recover', since: '2h', until: '3h' }, /^✗ 422: since: since is later than until$/],
  ] satisfies [DeliveriesCommand, RegExp][])('%j: in the words of the facade', async (what, expected) => {
    const { code, lines } = await command(what);
    expect(code).toBe(1);
    expect(lines).toEqual([expect.stringMatching(expected)]);
  });

  it('nothing there', async () => {
    const { code, lines } = await command({ name: 'list' }, { url: 'http://127.0.0.1:1' });
    expect([code, lines]).toEqual([
      1,
      ['✗ nothing answers at http://127.0.0.1:1: does the facade run? (--url says where)'],
    ]);
  });

  it('no facade there; and the key is sent, and not said', async () => {
    const keys: (string | undefined)[] = [];
    const server = createServer((request, response) => {
      keys.push(request.headers.authorization);
      response.writeHead(keys.length === 1 ? 200 : 401).end('<html>Please log in</html>');
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const said = [
      ...(await command({ name: 'list' }, { url, apiKey: 'canary' })).lines,
      ...(await command({ name: 'list' }, { url })).lines,
    ];
    server.close();
    expect(said).toEqual([`✗ ${url} is no facade that knows deliveries`, '✗ 401: no reason given']);
    expect(keys).toEqual(['Bearer canary', undefined]);
  });

  it('accepts a URL that holds the key, and never prints the key', async () => {
    const key = 'k3y-of-the-commands';
    const guarded = await startFacade(mock.url, {
      HOST_WEBHOOK_URL: 'http://127.0.0.1:9/',
      PROXY_API_KEY: key,
    });
    const urlWith = (login: string) => guarded.url.replace('//', `//${login}@`);
    const list = { name: 'list', since: '1s' } as const;
    expect((await command(list, { url: urlWith(`x:${key}`) })).code).toBe(0);
    // The login is for a proxy before the facade; the key of the configuration is sent beside it.
    expect((await command(list, { url: urlWith('user:pass'), apiKey: key })).code).toBe(0);
    expect(await command(list, { url: urlWith('x:another-key-than-that') })).toMatchObject({
      code: 1,
      lines: ['✗ 401: unauthorized'],
    });
    await guarded.close();
    const gone = await command(list, { url: urlWith(`x:${key}`) });
    expect(gone.lines).toEqual([
      `✗ nothing answers at ${guarded.url}/: does the facade run? (--url says where)`,
    ]);
  });
});

describe('Times, tables and bars', () => {
  const now = Date.parse('2026-01-31T12:00:00Z');
  it.each([
    ['90s', '2026-01-31T11:58:30.000Z'],
    ['30m', '2026-01-31T11:30:00.000Z'],
    ['1.5h', '2026-01-31T10:30:00.000Z'],
    ['3d', '2026-01-28T12:00:00.000Z'],
    ['2026-01-31', '2026-01-31'],
    ['1767225600', '1767225600'],
    ['2 weeks', '2 weeks'],
    ['99999999999d', '99999999999d'],
    ['-2h', '-2h'],
  ])('%s is %s', (given, time) => {
    expect(timeAgo(given, now)).toBe(time);
  });

  it('columns are as wide as their longest cell', () => {
    expect(table([['a', 'bb'], ['ccc', 'd'], []])).toEqual(['a    bb', 'ccc  d', '']);
  });

  it.each([
    [0, '[........................]   0 %'],
    [0.5, '[############............]  50 %'],
    [0.999, '[########################]  99 %'],
    [1, '[########################] 100 %'],
    [1.5, '[########################] 100 %'],
    [-1, '[........................]   0 %'],
  ])('%d of a bar', (share, text) => {
    expect(bar(share)).toBe(text);
  });
});
