import { createHmac, randomBytes } from 'node:crypto';
import { request } from 'undici';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { exampleBody } from '../../src/routes/host-webhook.js';
import { FakeHost, isSigned, type Delivery } from './host.js';
import type { Sight } from './inspection.js';
import { planRuns, type Run } from './runs.js';
import { judge, type Evidence } from './verifier.js';

const AT = 1_000_000;
const nothing = { blocks: [], deployments: [], leases: [], slotHolders: [] };

function run(id: string, fields: Partial<Run> = {}): Run {
  const ended = [{ id: `${id}-done`, type: 'COMPLETED', name: 'Completed', at: AT }];
  return { id, name: `name-${id}`, course: 'ends', held: nothing, ended, complaints: [], ...fields };
}

const WORDS: Record<string, string> = { COMPLETED: 'Completed', CRASHED: 'Crashed' };

function delivery(of: Run, fields: Partial<Delivery> = {}, state = of.ended.at(-1)!): Delivery {
  const text = `Flow run ${of.name} with id ${of.id} entered state ${WORDS[state.type]!}`;
  const { flow_run } = exampleBody;
  const { id, type, name } = state;
  const flowRun = {
    ...flow_run,
    id: of.id,
    name: of.name,
    state: { ...flow_run.state, id, type: type as 'COMPLETED', name },
  };
  return { id: `${of.id}:${id}`, at: AT + 100, text, flowRun, faults: [], ...fields };
}

function sight(of: Run, fields: Partial<Sight> = {}): Sight {
  const stateId = of.ended.at(-1)?.id ?? 'running';
  const labels = { 'prefect-proxy.settled': stateId, 'prefect-proxy.cleaned': stateId };
  return { stateId, labels, holds: [], ...fields };
}

const a = run('a');
const b = run('b');

/** All is well, but for what is given. */
function evidence(fields: Partial<Evidence> = {}): Evidence {
  const runs = fields.runs ?? [a, b];
  return {
    runs,
    earlier: new Map(),
    deliveries: runs.filter(({ ended }) => ended.length > 0).map((one) => delivery(one)),
    sights: new Map(runs.map((one) => [one.id, sight(one)])),
    outages: [],
    limitMs: 500,
    ...fields,
  };
}

/** Everything that is reported. */
function report(fields: Partial<Evidence>): string[] {
  const { wrong, open } = judge(evidence(fields));
  return [...wrong, ...open].map(({ text }) => text);
}

describe('what the verifier lets pass', () => {
  it('counts runs that ended, were told of, and hold nothing', () => {
    const verdict = judge(evidence());
    expect([...verdict.wrong, ...verdict.open]).toEqual([]);
    expect(verdict).toMatchObject({ ended: 2, delivered: 2, duplicates: 0, p50: 100, max: 100 });
  });

  it('counts a delivery that comes again under the same id', () => {
    const verdict = judge(
      evidence({ deliveries: [delivery(a), delivery(b), delivery(a, { at: AT + 9_000 })] }),
    );
    expect(verdict).toMatchObject({ wrong: [], open: [], duplicates: 1, max: 100 });
  });

  it('asks only for the last of two ends', () => {
    const crashed = { id: 'crash', type: 'CRASHED', name: 'Crashed', at: AT - 200 };
    const twice = run('a', { course: 'superseded', ended: [crashed, ...a.ended] });
    const told = delivery(twice, {}, crashed);
    expect(report({ runs: [twice] })).toEqual([]);
    expect(report({ runs: [twice], deliveries: [told, delivery(twice)] })).toEqual([]);
    expect(report({ runs: [twice], deliveries: [told] })).toEqual([expect.stringContaining('not delivered')]);
  });

  it('takes a name of its own of a state in the object only, and a name of a run in its safe form', () => {
    const named = run('a', { name: 'a b', ended: [{ ...a.ended[0]!, name: 'DBT_TEST_FAILED' }] });
    const told = delivery(named, { text: 'Flow run a-b with id a entered state Completed' });
    const raw = delivery(named, { text: 'Flow run a b with id a entered state Completed' });
    const own = delivery(named, { text: 'Flow run a-b with id a entered state DBT_TEST_FAILED' });
    expect(report({ runs: [named], deliveries: [told] })).toEqual([]);
    expect(report({ runs: [named], deliveries: [raw] })).toHaveLength(1);
    expect(report({ runs: [named], deliveries: [own] })).toHaveLength(1);
  });

  it('counts from the end of an outage that hit before the delivery was late', () => {
    const late = [delivery(a, { at: AT + 60_200 }), delivery(b)];
    expect(report({ deliveries: late, outages: [{ from: AT + 50, to: AT + 60_000 }] })).toEqual([]);
    expect(report({ deliveries: late })).toHaveLength(2);
    // Nothing was broken when it became late.
    expect(report({ deliveries: late, outages: [{ from: AT + 5_000, to: AT + 60_000 }] })).toHaveLength(2);
    // Broken again, before it was late again.
    const outages = [
      { from: AT + 50, to: AT + 30_000 },
      { from: AT + 30_100, to: AT + 60_000 },
    ];
    expect(report({ deliveries: late, outages })).toEqual([]);
  });
});

describe('what the verifier reports', () => {
  const lives = run('a', { course: 'lives', ended: [], held: { ...nothing, blocks: ['x'], leases: ['y'] } });
  const keeps = sight(lives, { holds: ['block document x', 'lease y'] });

  it.each<[string, Partial<Evidence>, string]>([
    ['a dropped delivery', { deliveries: [delivery(b)] }, 'not delivered'],
    ['an id of no run', { deliveries: [delivery(a), delivery(b), delivery(run('c'))] }, 'no such run'],
    [
      'an id of no state, though the run was told of',
      { deliveries: [delivery(a), delivery(b), delivery(a, { id: 'a:made-up' })] },
      'no terminal state made-up',
    ],
    [
      "another run's state",
      { deliveries: [delivery(a), delivery(b), delivery(a, { id: 'a:b-done' })] },
      'no terminal state b-done',
    ],
    [
      "another run's text",
      { deliveries: [delivery(a, { text: delivery(b).text }), delivery(b)] },
      'text is of something else',
    ],
    [
      "another run's object",
      { deliveries: [delivery(a, { flowRun: delivery(b).flowRun! }), delivery(b)] },
      'object is of something else',
    ],
    [
      'a wrong signature',
      { deliveries: [delivery(a, { faults: ['wrong webhook-signature'] }), delivery(b)] },
      'wrong webhook-signature',
    ],
    [
      'something that is still held',
      { runs: [a], sights: new Map([['a', sight(a, { holds: ['block document x'] })]]) },
      'still holds block document x',
    ],
    [
      'a label that names no state',
      { runs: [a], sights: new Map([['a', sight(a, { labels: { 'prefect-proxy.cleaned': 'a-done' } })]]) },
      'label prefect-proxy.settled is undefined',
    ],
    ['a run that is gone', { runs: [a], sights: new Map() }, 'gone from the orchestrator'],
    [
      'a living run that lost something',
      { runs: [lives], sights: new Map([['a', { ...keeps, holds: ['lease y'] }]]) },
      'has only this left: lease y',
    ],
    [
      'a living run that the host was told of',
      { runs: [lives], sights: new Map([['a', keeps]]), deliveries: [delivery(a)] },
      'has not ended',
    ],
    ['what the driver saw', { runs: [run('a', { complaints: ['lost its block'] })] }, 'lost its block'],
    ['a run that never ended', { runs: [run('a', { ended: [] })], sights: undefined }, 'has not ended'],
  ])('%s', (_what, fields, text) => {
    const reported = report(fields);
    expect(reported).toHaveLength(1);
    expect(reported[0]).toContain(text);
  });
});

it('reports slowness, and who was slow', () => {
  const reported = report({ deliveries: [delivery(a, { at: AT + 501 }), delivery(b)] });
  expect(reported).toEqual([
    expect.stringContaining('more than 500 ms'),
    expect.stringContaining('name-a (a), ends, COMPLETED: 501 ms'),
  ]);
});

describe('the fake host', () => {
  let host: FakeHost;
  beforeEach(async () => {
    host = await FakeHost.start();
  });
  afterEach(() => host.close());

  function post(secret: string, fields: { key?: string; body?: string; age?: number } = {}) {
    const body = fields.body ?? JSON.stringify(exampleBody);
    const timestamp = String(Math.floor(Date.now() / 1000) - (fields.age ?? 0));
    const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
    const signature = createHmac('sha256', key).update(`a:b.${timestamp}.${body}`).digest('base64');
    const headers = {
      'x-notification-key': fields.key ?? host.key,
      'webhook-id': 'a:b',
      'webhook-timestamp': timestamp,
      'webhook-signature': `v1,${signature}`,
    };
    return request(host.url, { method: 'POST', headers, body, reset: true }).then(
      ({ statusCode }) => statusCode,
    );
  }

  it('keeps what it took, and finds what is wrong with its form', async () => {
    await post(host.secret);
    await post(`whsec_${randomBytes(32).toString('base64')}`);
    await post(host.secret, { key: 'other' });
    await post(host.secret, { age: 600 });
    await post(host.secret, { body: '{"body":{}}' });
    expect(host.deliveries.map(({ faults }) => faults)).toEqual([
      [],
      ['wrong webhook-signature'],
      ['wrong X-Notification-Key'],
      ['wrong webhook-timestamp'],
      ['body is not as docs/delivery.md says'],
    ]);
    expect(host.deliveries[0]).toMatchObject({ id: 'a:b', text: exampleBody.body });
  });

  it('takes nothing while it is down or answers 500, and on the same port again after that', async () => {
    await host.become('500');
    expect(await post(host.secret)).toBe(500);
    await host.become('down');
    await expect(post(host.secret)).rejects.toThrow('ECONNREFUSED');
    await host.become('healthy');
    expect(await post(host.secret)).toBe(200);
    expect(host.deliveries).toHaveLength(1);
  });

  it('does the work and does not answer while it is stuck', async () => {
    await host.become('stuck');
    const answer = post(host.secret).catch(() => 'none');
    await expect.poll(() => host.deliveries.length).toBe(1);
    await host.become('healthy');
    expect(await answer).toBe('none');
  });

  it('knows the example of the Standard Webhooks specification', () => {
    const content = 'msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}';
    const signature = 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=';
    expect(isSigned('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', content, signature)).toBe(true);
    expect(isSigned('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', `${content} `, signature)).toBe(false);
  });
});

it('plans runs that meet every end with every kind of holding', () => {
  const plans = planRuns(600, 'x', { superseded: 8, revived: 8 });
  const ends = plans.filter(({ course }) => course === 'ends');
  const met = new Set(ends.map(({ end, holds }) => `${end.type} ${end.name} ${holds.join()}`));
  expect(met.size).toBe(7 * 7);
  expect(plans.filter(({ course }) => course === 'superseded')).toHaveLength(48);
  expect(plans.filter(({ course }) => course === 'revived')).toHaveLength(48);
});
