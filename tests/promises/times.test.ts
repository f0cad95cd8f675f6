import { beforeAll, describe, expect, it } from 'vitest';
import { contract } from '../support/contract.js';

/** The forms themselves are in tests/unit/times: here, that all places read them in the same way. */
const c = contract({ HOST_WEBHOOK_URL: 'http://127.0.0.1:9/' });
const UNKNOWN = '00000000-0000-4000-8000-000000000000';
const IN_UTC = '2026-11-28T17:26:50.000000+00:00';
const FORMS = [
  '2026-11-28T17:26:50Z',
  '20261128T172650Z',
  '20261128T225650+0530',
  '20261128 172650',
  '2026-W48-6T17:26:50Z',
  '2026W486T172650Z',
  '2026-332T17:26:50Z',
  '2026332T172650,0Z',
  '1795886810',
  '1795886810000',
];

let deployment: string;
beforeAll(async () => {
  deployment = await c.seed.deployment();
});

interface Place {
  name: string;
  send: (time: string) => ReturnType<typeof c.host.send>;
}
const query = (name: string, path: string): Place => ({
  name,
  send: (time) => c.host.get(path + encodeURIComponent(time)),
});
const body = (name: string, path: () => string, fields: (time: string) => object): Place => ({
  name,
  send: (time) => c.host.post(path(), fields(time)),
});
const LATE = () => '/proxy/flow_runs/late';
const RECOVER = () => '/proxy/v1/deliveries/recover';
const PLACES: Place[] = [
  body(
    'scheduledTime',
    () => `/proxy/deployments/${deployment}/flow_run/schedule`,
    (scheduledTime) => ({ runParams: {}, scheduledTime }),
  ),
  body('before_start_time', LATE, (before_start_time) => ({ before_start_time })),
  body('after_start_time', LATE, (after_start_time) => ({ after_start_time })),
  query('start_time_gt', `/proxy/flow_runs?deployment_id=${UNKNOWN}&start_time_gt=`),
  query('start_time_str', '/proxy/flow_runs/long-running/0?start_time_str='),
  query('since of a list of deliveries', '/proxy/v1/deliveries?until=2027-06-01&since='),
  query('until of a list of deliveries', '/proxy/v1/deliveries?until='),
  body('since of a recovery', RECOVER, (since) => ({ since, until: '2027-06-01' })),
  body('until of a recovery', RECOVER, (until) => ({ since: '2026-11-01', until })),
];

describe.each(PLACES)('$name', ({ send }) => {
  it.each(FORMS)('takes %s', async (time) => {
    c.mock!.calls.length = 0;
    const reply = await send(time);
    expect(reply.status, reply.text).toBe(200);
    expect(JSON.stringify(c.mock!.calls.map((call) => call.body))).toContain(IN_UTC);
  });

  it.each(['20261328T172650Z', '2026-W54-1', '2026-366', '20261128T246000Z', '20261128T', 'now'])(
    'refuses %s',
    async (time) => {
      const reply = await send(time);
      expect(reply.status).toBe(422);
      expect(reply.json).toMatchObject({ detail: [{ type: 'datetime_from_date_parsing' }] });
    },
  );
});
