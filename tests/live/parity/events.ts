import { once } from 'node:events';
import { WebSocket } from 'undici';
import { expect } from 'vitest';
import { type Body, type Script } from './script.js';

const year = 365 * 86_400_000;

export const eventScripts: Record<string, Script> = {
  'events of a run': async (send, tag, { note, url }) => {
    const flow = await send('POST', '/flows/', { name: tag, tags: ['z', 'a'] });
    const deployment = await send('POST', '/deployments/', { flow_id: flow['id'], name: 'd', tags: ['m'] });
    const occurred = { since: iso(-60_000), until: iso(year) };
    // By its name: the server's log lags, so that what happens just before a subscription is in no backfill.
    const name = { 'prefect.resource.name': tag };
    const ends = { ...name, 'prefect.state-type': ['COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED'] };
    const event = { prefix: ['prefect.flow-run.'] };
    const [all, ended] = [
      await listen(url, { occurred, event, resource: { labels: name } }),
      await listen(
        url,
        { occurred, event, resource: { labels: ends }, related: { role: ['nobody'] } },
        false,
      ),
    ];
    const run = { flow_id: flow['id'], name: tag, deployment_id: deployment['id'] };
    const id = String((await send('POST', '/flow_runs/', run))['id']);
    const labels = { 'prefect.resource.id': `prefect.flow-run.${id}` };
    const set = (type: string, message?: string) =>
      send('POST', `/flow_runs/${id}/set_state`, { state: { type, message } });
    await set('RUNNING');
    await set('CRASHED', 'boom');
    await set('COMPLETED');
    await expect.poll(() => [all.events.length, ended.events.length], { timeout: 10_000 }).toEqual([4, 2]);
    const runNow = await send('GET', `/flow_runs/${id}`);
    note('the id of an event is the id of the state', all.events.at(-1)?.['id'] === runNow['state_id']);
    note(
      'events',
      all.events.map((one) => plain(one)),
    );
    note(
      'ends',
      ended.events.map((one) => one['event']),
    );
    all.socket.close();
    ended.socket.close();

    const ask = async (filter: Body, limit = 50) => {
      const headers = { 'content-type': 'application/json' };
      const body = JSON.stringify({ filter, limit });
      return (await (await fetch(`${url}/events/filter`, { method: 'POST', headers, body })).json()) as Body;
    };
    // A real server writes its log every few seconds.
    const own = { occurred, resource: { id: [`prefect.flow-run.${id}`] } };
    await expect.poll(async () => (await ask(own))['total'], { timeout: 15_000 }).toBe(4);
    const again = await listen(url, { occurred, event, resource: { labels } });
    await expect.poll(() => again.events.length, { timeout: 10_000 }).toBe(4);
    again.socket.close();
    const type = 'prefect.state-type';
    for (const filter of [
      own,
      { ...own, order: 'ASC' },
      { resource: { labels } },
      { resource: { labels: { ...labels, [type]: 'crashed' } } },
      { resource: { labels: { ...labels, [type]: ['COMP*', 'RUN?ING'] } } },
      { resource: { labels: { ...labels, [type]: [] } } },
      { resource: { labels: { ...labels, [type]: '!*ED' } } },
      { resource: { labels: { ...labels, none: '*' } } },
      {
        resource: { id_prefix: [`prefect.flow-run.${id.slice(0, 30)}`] },
        event: { name: ['prefect.flow-run.Crashed'] },
      },
      { resource: { labels }, related: { role: ['flow'], id: [`prefect.flow.${String(flow['id'])}`] } },
      { resource: { labels }, related: { role: ['nobody'] } },
      { any_resource: { id: [`prefect.flow.${String(flow['id'])}`] }, event },
      { occurred: { until: '2020-01-01T00:00:00Z' }, resource: { labels } },
      { resource: { labels }, event: { prefix: ['PREFECT.'], exclude_prefix: ['prefect.flow-run.R'] } },
    ]) {
      const { events, total } = await ask(filter);
      note(JSON.stringify(Object.keys(filter)), [total, (events as Body[]).map((one) => one['event'])]);
    }
    const first = await ask(own, 3);
    const next = (await (await fetch(String(first['next_page']))).json()) as Body;
    note(
      'pages',
      [first, next].map((page) => [page['total'], (page['events'] as Body[]).length]),
    );
    note('last page', next['next_page']);
    for (const body of [
      { limit: 51 },
      { limit: -1 },
      { filter: { order: 'x' } },
      { filter: { occurred: null } },
    ]) {
      await send('POST', '/events/filter', body);
    }
    await send('POST', '/events/filter', { filter: { occurred: { since: 'x' } } });
    await send('DELETE', `/flows/${String(flow['id'])}`);
  },

  'the manners of the websocket': async (_send, _tag, { note, url }) => {
    const auth = { type: 'auth', token: null };
    for (const [protocols, ...messages] of [
      [['x'], 'text'],
      [['prefect'], 'text'],
      [['prefect'], '[]'],
      [['prefect'], { type: 'filter' }],
      [['prefect'], auth, { type: 'x' }],
      [['prefect'], auth, {}],
      [['prefect'], auth, { type: 'filter' }],
      [['prefect'], auth, { type: 'filter', filter: { bogus: 1 } }],
      [['prefect'], auth, { type: 'filter', filter: null }],
    ] as [string[], ...(string | Body)[]][]) {
      const socket = new WebSocket(socketUrl(url), protocols);
      const got: unknown[] = [];
      socket.onmessage = ({ data }) => got.push(data);
      const closed = new Promise<number>((resolve) => {
        socket.onclose = ({ code, reason }) => {
          got.push(reason);
          resolve(code);
        };
      });
      const opened = new Promise<void>((resolve) => {
        socket.onopen = () => {
          resolve();
        };
      });
      await Promise.race([opened, closed]);
      for (const message of messages) {
        const answered = new Promise<void>((resolve) => {
          socket.addEventListener('message', () => {
            resolve();
          });
        });
        socket.send(typeof message === 'string' ? message : JSON.stringify(message));
        await Promise.race([answered, closed]);
      }
      note(JSON.stringify([protocols, messages]), [await closed, got]);
    }
  },
};

const iso = (difference: number) => new Date(Date.now() + difference).toISOString();
const socketUrl = (url: string) => `${url.replace(/^http/, 'ws')}/events/out`;

/** Subscribed, as far as a client can know, once it is answered. */
async function listen(
  url: string,
  filter: Body,
  backfill = true,
): Promise<{ socket: WebSocket; events: Body[] }> {
  const socket = new WebSocket(socketUrl(url), ['prefect']);
  const events: Body[] = [];
  await once(socket, 'open');
  const authenticated = once(socket, 'message');
  socket.send(JSON.stringify({ type: 'auth', token: null }));
  await authenticated;
  socket.onmessage = ({ data }) => {
    events.push((JSON.parse(String(data)) as { event: Body }).event);
  };
  socket.send(JSON.stringify({ type: 'filter', backfill, filter }));
  return { socket, events };
}

/** Keys in their order; without what is different each time. */
function plain(event: Body): string {
  return JSON.stringify(event)
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi, '<id>')
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+/g, '<time>')
    .replace(/mockagent-[0-9a-f]{8}/g, '<tag>');
}
