import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { HostWebhook, type HostWebhookOptions } from '../../src/host/webhook.js';
import { nextDelay } from '../../src/services/settlement/schedule.js';
import { COMPLETED, FAILED } from '../support/seed.js';
import { startFakeHost, type FakeHost } from '../support/settlement/fake-host.js';
import { bendTime, KEY, startRig, type Rig } from '../support/settlement/rig.js';
import { exists, holder, secretBlock } from '../support/settlement/things.js';
import { unusedUrl } from '../support/tcp-proxy.js';

describe('A post to the host', () => {
  let host: FakeHost;
  const opened: HostWebhook[] = [];
  beforeEach(async () => {
    host = await startFakeHost();
  });
  afterEach(async () => {
    host.release(200);
    for (const webhook of opened.splice(0)) await webhook.close();
    await host.close();
  });
  const webhook = (options: Partial<HostWebhookOptions> = {}) => {
    const made = new HostWebhook({ url: host.url, timeoutSeconds: 60, concurrency: 8, ...options });
    opened.push(made);
    return made;
  };
  const message = { id: 'run:state', body: '{"body":"Flow run x with id y entered state Completed"}' };

  it('has the body and the key that hosts read today, byte for byte', async () => {
    expect(await webhook({ key: KEY }).deliver(message)).toEqual({ ok: true, last: '200' });
    const [post] = await host.got(1);
    expect(post).toMatchObject({ method: 'POST', path: '/webhooks/v1/notification/', text: message.body });
    expect(post!.headers).toMatchObject({
      'content-type': 'application/json',
      'content-length': String(message.body.length),
      'x-notification-key': KEY,
      'webhook-id': 'run:state',
    });
    expect(post!.headers).not.toHaveProperty('webhook-signature');
  });

  it('sends no key where there is none', async () => {
    await webhook().deliver(message);
    expect((await host.got(1))[0]!.headers).not.toHaveProperty('x-notification-key');
  });

  // The check of https://www.standardwebhooks.com, written from its text.
  it.each(['whsec_', ''])('is signed as Standard Webhooks say, secret with prefix "%s"', async (prefix) => {
    const secret = Buffer.from('0123456789abcdef0123456789abcdef');
    const before = Math.floor(Date.now() / 1000);
    await webhook({ secret: prefix + secret.toString('base64') }).deliver({
      ...message,
      body: '{"body":"é"}',
    });
    const [post] = await host.got(1);
    const { 'webhook-id': id, 'webhook-timestamp': time, 'webhook-signature': signature } = post!.headers;
    const wanted = createHmac('sha256', secret)
      .update(`${id}.${time}.${post!.text}`, 'utf8')
      .digest('base64');
    expect(signature).toBe(`v1,${wanted}`);
    expect(time).toMatch(/^\d+$/);
    expect(Number(time)).toBeGreaterThanOrEqual(before);
    expect(Number(time)).toBeLessThanOrEqual(Math.ceil(Date.now() / 1000));
  });

  it.each([301, 302, 307, 308])('follows no redirect (%i)', async (status) => {
    host.answer = () => ({ status, headers: { location: host.url } });
    expect(await webhook().deliver(message)).toMatchObject({ ok: false, last: String(status), gone: false });
    expect(host.posts).toHaveLength(1);
  });

  it.each([
    [400, { refused: true, gone: false }],
    [401, { refused: true, gone: false }],
    [403, { refused: true, gone: false }],
    [404, { refused: false, gone: false }],
    [410, { refused: false, gone: true }],
    [500, { refused: false, gone: false }],
  ])('that is answered %i', async (status, outcome) => {
    host.answer = () => status;
    expect(await webhook().deliver(message)).toMatchObject({ ok: false, last: String(status), ...outcome });
  });

  it.each([200, 201, 202, 204, 299])('is delivered with %i', async (status) => {
    host.answer = () => status;
    expect(await webhook().deliver(message)).toEqual({ ok: true, last: String(status) });
  });

  it('reads Retry-After, in seconds and as a date, and for an hour at most', async () => {
    const asked = async (retryAfter: string) => {
      host.answer = () => ({ status: 503, headers: { 'retry-after': retryAfter } });
      return (await webhook().deliver(message)) as { retryAfterSeconds?: number };
    };
    expect((await asked('120')).retryAfterSeconds).toBe(120);
    expect((await asked('999999')).retryAfterSeconds).toBe(3600);
    expect((await asked('soon')).retryAfterSeconds).toBeUndefined();
    const seconds = (await asked(new Date(Date.now() + 600_000).toUTCString())).retryAfterSeconds;
    expect(seconds).toBeGreaterThan(500);
    expect(seconds).toBeLessThanOrEqual(600);
  });

  it('is given up where no answer comes in time', async () => {
    host.answer = () => 'hang';
    expect(await webhook({ timeoutSeconds: 0.05 }).deliver(message)).toMatchObject({
      ok: false,
      last: 'timeout',
    });
  });

  it('has arrived once a 2xx is there, whatever becomes of the body', async () => {
    host.answer = () => (_post, response) => {
      response.writeHead(200, { 'content-length': '1000' });
      response.write('half', () => response.socket?.destroy());
    };
    expect(await webhook().deliver(message)).toEqual({ ok: true, last: '200' });
    host.answer = () => (_post, response) => {
      response.writeHead(200);
      response.write('never ends');
    };
    expect(await webhook({ timeoutSeconds: 1 }).deliver(message)).toEqual({ ok: true, last: '200' });
    host.answer = () => (_post, response) => {
      response.writeHead(200);
      const pour = () => response.write(Buffer.alloc(65_536), () => setImmediate(pour));
      pour();
    };
    expect(await webhook().deliver(message)).toEqual({ ok: true, last: '200' });
  });

  it('that meets nobody, or a reset, says so without a word of the request', async () => {
    const nobody = webhook({ url: `${await unusedUrl()}/secret-path`, key: KEY });
    expect(await nobody.deliver(message)).toMatchObject({ ok: false, last: 'ECONNREFUSED' });
    host.answer = () => 'reset';
    const { last } = (await webhook({ key: KEY }).deliver(message))!;
    expect(last).toMatch(/^(ECONNRESET|UND_ERR_SOCKET)$/);
    expect((await webhook({ key: 'line\nend' }).deliver(message))!.last).not.toContain('line');
  });

  it('waits for its turn: no more than HOST_WEBHOOK_CONCURRENCY at once', async () => {
    host.answer = () => 'hang';
    const slow = webhook({ concurrency: 3 });
    const all = Array.from({ length: 10 }, (_, n) => slow.deliver({ ...message, id: String(n) }));
    for (const done of [3, 6, 9, 10]) {
      await host.got(done);
      expect(host.waiting()).toBeLessThanOrEqual(3);
      host.release(200);
    }
    expect((await Promise.all(all)).every((outcome) => outcome?.ok)).toBe(true);
    expect(host.mostWaiting()).toBe(3);
  });
});

describe('The schedule of attempts', () => {
  const STEPS = [5, 30, 120, 600, 1_800, 3_600, 7_200, 18_000, 36_000, 36_000];
  const chance = fc.double({ min: 0, max: 1, noNaN: true });

  it('is within a fifth of its steps, and ends after the last', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), chance, (attempts, random) => {
        const delay = nextDelay(attempts, { refused: false }, random);
        const step = STEPS[attempts - 1];
        if (step === undefined) expect(delay).toBeUndefined();
        else {
          expect(delay).toBeGreaterThanOrEqual(step * 0.8 - 1e-6);
          expect(delay).toBeLessThanOrEqual(step * 1.2 + 1e-6);
        }
      }),
    );
    expect(nextDelay(1, { refused: false }, 0)).not.toBe(nextDelay(1, { refused: false }, 1));
  });

  it('never asks sooner than the host wants, nor a host that refuses sooner than in minutes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10 }), chance, fc.nat(3600), (attempts, random, asked) => {
        expect(
          nextDelay(attempts, { refused: false, retryAfterSeconds: asked }, random),
        ).toBeGreaterThanOrEqual(asked);
        expect(nextDelay(attempts, { refused: true }, random)).toBeGreaterThanOrEqual(480);
      }),
    );
  });
});

describe('Telling the host', () => {
  let rig: Rig;
  beforeEach(async () => {
    bendTime();
    rig = await startRig();
  });
  afterEach(async () => {
    await rig.close();
    vi.useRealTimers();
    expect(rig.mock.unexpected).toEqual([]);
  });
  const tell = (settling: { hint: (hint: { flowRunId: string }) => void }, id: string) => {
    settling.hint({ flowRunId: id });
  };
  const delivery = async (id: string) =>
    JSON.parse((await rig.labelled(id, 'delivery'))['delivery']!) as object;
  const postsOf = (id: string) => rig.host.posts.filter((post) => post.text.includes(id));

  it.each([
    [COMPLETED, 'Completed'],
    [FAILED, 'Failed'],
    [{ type: 'CRASHED', name: 'Crashed' }, 'Crashed'],
    [{ type: 'CANCELLED', name: 'Cancelled' }, 'Cancelled'],
    [{ type: 'FAILED', name: 'TimedOut' }, 'Failed'],
    [{ type: 'COMPLETED', name: 'Cached' }, 'Completed'],
  ])('of %o by the name of its type', async (state, word) => {
    const settling = rig.start();
    const id = await rig.seed.flowRun({ name: 'a "name"', states: [state] });
    tell(settling, id);
    const { settled } = await rig.labelled(id, 'settled');
    expect(rig.host.posts.map(({ sentence }) => sentence)).toEqual([
      `Flow run a--name- with id ${id} entered state ${word}`,
    ]);
    expect(rig.host.posts[0]!.headers['webhook-id']).toBe(`${id}:${settled!}`);
    expect(rig.host.posts[0]!.headers['x-notification-key']).toBe(KEY);
  });

  it('again and again with the same id and a fresh timestamp, on schedule, until it listens', async () => {
    rig.host.answer = () => (rig.host.posts.length < 3 ? 500 : 200);
    const settling = rig.start();
    const id = await rig.seed.flowRun({ states: [COMPLETED] });
    tell(settling, id);
    expect(await delivery(id)).toMatchObject({ attempts: 1, last: '500', dead: false });
    await rig.passUntil(() => rig.host.posts.length === 3, 1);
    await rig.labelled(id, 'settled');
    const [first, second, third] = rig.host.posts;
    expect(second!.headers['webhook-id']).toBe(first!.headers['webhook-id']);
    expect(third!.headers['webhook-id']).toBe(first!.headers['webhook-id']);
    expect(Number(second!.headers['webhook-timestamp'])).toBeGreaterThan(
      Number(first!.headers['webhook-timestamp']),
    );
    expect(second!.at - first!.at).toBeGreaterThanOrEqual(4_000);
    expect(third!.at - second!.at).toBeGreaterThanOrEqual(24_000);
  });

  it('not before Retry-After', async () => {
    rig.host.answer = () =>
      rig.host.posts.length < 2 ? { status: 429, headers: { 'retry-after': '900' } } : 200;
    const settling = rig.start();
    const id = await rig.seed.flowRun({ states: [COMPLETED] });
    tell(settling, id);
    await rig.passUntil(() => rig.host.posts.length === 2, 60);
    expect(rig.host.posts[1]!.at - rig.host.posts[0]!.at).toBeGreaterThanOrEqual(900_000);
  });

  it('never again after 410', async () => {
    rig.host.answer = () => 410;
    const settling = rig.start();
    const id = await rig.seed.flowRun({ states: [COMPLETED] });
    tell(settling, id);
    expect(await delivery(id)).toMatchObject({ attempts: 1, next: null, last: '410', dead: true });
    expect(settling.lines).toContainEqual(
      expect.objectContaining({ level: 'error', message: 'delivery given up' }),
    );
    rig.host.answer = () => 200;
    tell(settling, id);
    const other = await rig.seed.flowRun({ states: [COMPLETED] });
    tell(settling, other);
    await rig.labelled(other, 'settled');
    expect(postsOf(id)).toHaveLength(1);
  });

  it.each([400, 401, 403])(
    'slowly where it refuses the key (%i), with an alarm that does not show it',
    async (status) => {
      rig.host.answer = () => (rig.host.posts.length < 2 ? status : 200);
      const settling = rig.start({ HOST_WEBHOOK_SECRET: `whsec_${'A'.repeat(44)}` });
      const id = await rig.seed.flowRun({ states: [COMPLETED] });
      tell(settling, id);
      expect(await delivery(id)).toMatchObject({ attempts: 1, dead: false });
      await rig.passUntil(() => rig.host.posts.length === 2, 60);
      await rig.labelled(id, 'settled');
      expect(rig.host.posts[1]!.at - rig.host.posts[0]!.at).toBeGreaterThanOrEqual(480_000);
      expect(settling.lines.filter(({ level }) => level === 'error')).toEqual([
        expect.objectContaining({ flow_run: id, answer: String(status) }),
      ]);
      expect(JSON.stringify(settling.lines)).not.toContain(KEY);
      expect(JSON.stringify(settling.lines)).not.toContain('AAAA');
    },
  );

  it('is given up after the last attempt, and says so', async () => {
    rig.host.answer = () => 500;
    const settling = rig.start({ RECONCILE_INTERVAL: '86400' });
    const id = await rig.seed.flowRun({ states: [COMPLETED] });
    tell(settling, id);
    const isDead = () => settling.lines.some(({ message }) => message === 'delivery given up');
    await rig.passUntil(isDead, 1_200);
    await vi.waitUntil(async () => ((await delivery(id)) as { dead: boolean }).dead);
    expect(await delivery(id)).toMatchObject({ attempts: 11, next: null, last: '500', dead: true });
    // A host that is silent is also tried out of turn, which counts for nothing.
    expect(rig.host.posts.length).toBeGreaterThanOrEqual(11);
  });

  it('of all that waits as soon as it answers again', async () => {
    rig.host.answer = () => 500;
    const settling = rig.start();
    const ids = await Promise.all(Array.from({ length: 5 }, () => rig.seed.flowRun({ states: [COMPLETED] })));
    for (const id of ids) tell(settling, id);
    const attempts = async () =>
      Math.min(
        ...(await Promise.all(
          ids.map(async (id) => ((await delivery(id)) as { attempts: number }).attempts),
        )),
      );
    await rig.passUntil(async () => (await attempts()) >= 3, 10);
    rig.host.answer = () => 200;
    const since = Date.now();
    const late = await rig.seed.flowRun({ states: [COMPLETED] });
    tell(settling, late);
    for (const id of [late, ...ids]) await rig.labelled(id, 'settled');
    // The next attempts would have been 96 s later at the soonest.
    expect(Math.max(...rig.host.posts.map(({ at }) => at)) - since).toBeLessThan(20_000);
  });

  it('does not use up the attempts of runs that it chokes on, each time another one is told', async () => {
    const choking = await Promise.all([1, 2, 3, 4].map(() => rig.seed.flowRun({ states: [COMPLETED] })));
    rig.host.answer = ({ text }) => (choking.some((id) => text.includes(id)) ? 500 : 200);
    const settling = rig.start();
    for (const id of choking) await rig.labelled(id, 'delivery');
    for (let n = 0; n < 15; n += 1) {
      const id = await rig.seed.flowRun({ states: [COMPLETED] });
      tell(settling, id);
      await vi.waitUntil(() => rig.host.posts.some(({ text }) => text.includes(id)));
    }
    for (const id of choking) expect(await delivery(id)).toMatchObject({ dead: false });
    expect(settling.lines.filter(({ message }) => message === 'delivery given up')).toEqual([]);
  });

  it('slowly holds up the clean-up of nobody, and no more posts than allowed are under way', async () => {
    rig.host.answer = () => 'hang';
    const blocks = await Promise.all(Array.from({ length: 6 }, () => secretBlock(rig.seed)));
    const settling = rig.start({ HOST_WEBHOOK_CONCURRENCY: '2', HOST_WEBHOOK_TIMEOUT: '600' });
    for (const block of blocks) {
      tell(settling, await holder(rig.seed, { held: { block_documents: [block] }, states: [COMPLETED] }));
    }
    const left = async () => {
      const found = await Promise.all(blocks.map((id) => exists(rig.seed, `/block_documents/${id}`)));
      return found.includes(true);
    };
    await vi.waitUntil(async () => !(await left()), { timeout: 10_000 });
    expect(rig.host.mostWaiting()).toBe(2);
  });

  it('is not needed: without HOST_WEBHOOK_URL runs are cleaned up after, and nothing counts as delivered', async () => {
    const settling = rig.start({ HOST_WEBHOOK_URL: '' });
    const id = await rig.seed.flowRun({ states: [COMPLETED] });
    tell(settling, id);
    expect(await rig.labelled(id, 'cleaned')).not.toHaveProperty('settled');
    expect(rig.host.posts).toEqual([]);
  });
});
