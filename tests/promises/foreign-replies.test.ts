import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { prefectSaid } from '../../src/prefect/error-body.js';
import { makeGood, ROUTES, send, type Good, type RouteCase } from '../support/all-routes.js';
import { contract } from '../support/contract.js';
import type { Host, Reply } from '../support/host.js';
import { COMPLETED } from '../support/seed.js';
import { bendTime, startRig, VARIABLE_PATH, type Rig } from '../support/settlement/rig.js';
import { exists, holder, secretBlock } from '../support/settlement/things.js';

/* What answers is not always Prefect: an ingress without a backend, a login page, another API under the same address. */

interface Foreign {
  status: number;
  body: string;
  headers: Record<string, string>;
}
const JSON_TYPE = { 'content-type': 'application/json' };
const BODIES: Record<string, Omit<Foreign, 'status'>> = {
  'a page of HTML': { body: '<html>404 page not found</html>', headers: { 'content-type': 'text/html' } },
  'the JSON of a gateway': { body: '{"message":"no Route matched with those values"}', headers: JSON_TYPE },
  'the JSON of another API': { body: '{"error":{"code":404,"message":"x"}}', headers: JSON_TYPE },
  'an object with nothing in it': { body: '{}', headers: JSON_TYPE },
  'the problem of another API': {
    body: '{"type":"about:blank","title":"Not Found","detail":"no such service"}',
    headers: { 'content-type': 'application/problem+json' },
  },
  'a body in the shape of Prefect with another content type': {
    body: '{"detail":"Flow run not found"}',
    headers: { 'content-type': 'text/plain' },
  },
  nothing: { body: '', headers: {} },
  'a body that was cut': { body: '{"detail":"Flow run not fo', headers: JSON_TYPE },
};
const BARE = {
  400: 'Bad Request',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  410: 'Gone',
};
const STATUSES = [400, 404, 405, 409, 410, 422, 423, 429];

const FAULTS: Record<string, Foreign[]> = Object.fromEntries(
  Object.entries(BODIES).map(([what, body]) => [what, STATUSES.map((status) => ({ status, ...body }))]),
);
FAULTS['the bare phrase of a framework'] = Object.entries(BARE).map(([status, detail]) => ({
  status: Number(status),
  body: JSON.stringify({ detail }),
  headers: JSON_TYPE,
}));

const c = contract({ PREFECT_API_RETRY: 'false', HOST_WEBHOOK_URL: 'http://127.0.0.1:9/' });
let good: Good;
beforeAll(async () => {
  good = await makeGood(c.host, c.seed);
});
beforeEach(() => {
  c.mock!.reset();
});

/** Ends any row of failures, so that the breaker stays closed. Not by the version: once known, it is asked for no more. */
async function ask(): Promise<void> {
  expect((await c.host.get(`/proxy/flow_runs/${good.run}/poll`)).status).toBe(200);
}

type OtherRoute = { id: string; send: (host: Host) => Promise<Reply> };
const task = { slug: 's', working_dir: '/', env: {}, flow_name: 'f', flow_run_name: 'r', commands: ['true'] };
const OTHERS: OtherRoute[] = [
  { id: 'replayDelivery', send: (host) => host.post(`/proxy/v1/deliveries/${good.run}/replay`) },
  {
    id: 'recoverDeliveries',
    send: (host) => host.post('/proxy/v1/deliveries/recover', { since: '2020-01-01T00:00:00Z' }),
  },
  { id: 'followRun', send: (host) => host.get(`/proxy/v1/flow_runs/${good.run}/events`) },
  {
    id: 'runShell',
    send: (host) => host.post('/proxy/flows/shell/run/', { type: 'Shell Operation', ...task }),
  },
];

describe('A 4xx that Prefect did not write', () => {
  const all = [
    ...ROUTES.map((route: RouteCase) => ({ id: route.id, send: (host: Host) => send(host, route, good) })),
    ...OTHERS,
  ];
  it.each(all)('never reaches the host as a 4xx on $id', async ({ send: sendGood }) => {
    for (const [what, faults] of Object.entries(FAULTS)) {
      for (const fault of faults) {
        c.mock!.reset();
        await ask();
        c.mock!.fault(() => fault);
        const { status } = await sendGood(c.host);
        expect({ what, said: fault.status, status }).toEqual({
          what,
          said: fault.status,
          status: fault.status === 429 ? 503 : 502,
        });
      }
    }
  });

  // The version is kept once it is known: a call that fails then does not show.
  const perCall = ROUTES.filter(({ id }) => id !== 'getPrefectVersion');
  it.each(perCall)('is no verdict either where only one call of $id meets it', async (route) => {
    /** @returns whether there was an nth call of the facade */
    const meetsAt = async (nth: number, fault: Foreign): Promise<boolean> => {
      c.mock!.reset();
      await ask();
      let call = 0;
      // The test's own calls are not the facade's.
      c.mock!.fault(({ headers }) =>
        headers['user-agent'] !== 'node' && (call += 1) === nth ? fault : undefined,
      );
      const { status } = await send(c.host, route, good);
      if (call >= nth) expect({ nth, fault, status }).toEqual({ nth, fault, status: 502 });
      return call >= nth;
    };
    for (const body of ['a page of HTML', 'the JSON of a gateway']) {
      for (const status of [404, 409]) {
        for (let nth = 1; await meetsAt(nth, { status, ...BODIES[body]! }); nth += 1);
      }
    }
  });
});

describe('A 2xx that Prefect did not write', () => {
  it.each(ROUTES.filter(({ silent }) => silent))('is no success of $id', async (route) => {
    for (const body of ['', '{}', '<html>']) {
      c.mock!.reset();
      await ask();
      // Prefect answers 204.
      c.mock!.fault(() => ({ status: 200, body, headers: {} }));
      expect((await send(c.host, route, good)).status).toBe(502);
    }
  });
});

describe('What Prefect writes itself', () => {
  const shapes: [number, unknown, unknown][] = [
    [404, { detail: 'Flow run not found' }, 'Flow run not found'],
    [404, { exception_message: 'Automation not found' }, 'Automation not found'],
    [409, { detail: 'Block already exists' }, 'Block already exists'],
    [
      410,
      { detail: 'Lease not found - it may have expired or been revoked' },
      expect.stringContaining('Lease'),
    ],
    [
      422,
      {
        exception_message: 'Invalid request received.',
        exception_detail: [
          { type: 'missing', loc: ['body', 'x', 0], msg: 'Field required', input: null, url: 'u' },
        ],
        request_body: null,
      },
      [{ type: 'missing', loc: ['body', 'x', 0], msg: 'Field required' }],
    ],
    [422, { detail: [{ loc: ['query'], msg: 'no' }] }, [{ loc: ['query'], msg: 'no' }]],
    [500, { exception_message: 'Internal Server Error' }, 'Internal Server Error'],
    [503, { exception_message: 'Service Unavailable' }, 'Service Unavailable'],
  ];
  it.each(shapes)('is known by its shape: %d %j', (status, body, said) => {
    for (const contentType of ['application/json', 'application/json; charset=utf-8', undefined]) {
      expect(prefectSaid({ status, text: JSON.stringify(body), contentType })).toEqual(said);
    }
  });
});

describe('Settlement', () => {
  let rig: Rig;
  beforeEach(async () => {
    bendTime();
    rig = await startRig();
  });
  afterEach(async () => {
    await rig.close();
    vi.useRealTimers();
  });
  const NEVER = { RECONCILE_INTERVAL: '86400' };
  const page = { status: 404, ...BODIES['a page of HTML']! };
  const isOurs = (headers: Record<string, string>) => headers['user-agent'] !== 'node';

  it.each(['a page of HTML', 'the JSON of a gateway', 'the bare phrase of a framework'])(
    'keeps a pending delivery when the read of its run meets %s with status 404 while the host is down',
    async (what) => {
      const body = FAULTS[what]!.find(({ status }) => status === 404)!;
      const settling = rig.start(NEVER);
      await rig.passUntil(async () => (await rig.variable())?.leader, 0);
      rig.host.answer = () => 500;
      const id = await holder(rig.seed, { states: [COMPLETED] });
      settling.hint({ flowRunId: id });
      await rig.labelled(id, 'delivery');
      // More of them than one read is repeated.
      const PAGES = 25;
      let pages = 0;
      rig.mock.fault(({ method, path, headers }) => {
        if (pages === PAGES || method !== 'GET' || path !== `/flow_runs/${id}` || !isOurs(headers))
          return undefined;
        pages += 1;
        return body;
      });
      await rig.passUntil(() => pages === PAGES, 5);
      rig.host.answer = () => 200;
      await rig.passUntil(async () => (await rig.labels(id))['settled'], 5);
    },
  );

  it('does not take a foreign 404 for the absence of its position', async () => {
    rig.mock.fault(({ path, headers }) => (path === VARIABLE_PATH && isOurs(headers) ? page : undefined));
    const settling = rig.start({ RECONCILE_INTERVAL: '15' });
    await rig.passUntil(
      () => settling.lines.filter(({ message }) => message === 'reconciler failed').length > 0,
      1,
    );
    expect(rig.mock.calls.filter(({ path }) => path === '/variables/')).toEqual([]);
  });

  it('does not take a foreign 404 for a deletion, and deletes when Prefect answers again', async () => {
    const settling = rig.start(NEVER);
    await rig.passUntil(async () => (await rig.variable())?.leader, 0);
    const block = await secretBlock(rig.seed);
    let pages = 0;
    rig.mock.fault(({ method, headers }) =>
      method === 'DELETE' && isOurs(headers) && (pages += 1) <= 2 ? page : undefined,
    );
    const id = await holder(rig.seed, { held: { block_documents: [block] }, states: [COMPLETED] });
    settling.hint({ flowRunId: id });
    await rig.passUntil(async () => (await rig.labels(id))['cleaned'], 5);
    expect(await exists(rig.seed, `/block_documents/${block}`)).toBe(false);
    expect(pages).toBe(3);
  });
});
