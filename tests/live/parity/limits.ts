import { randomUUID } from 'node:crypto';
import { type Body, type Script } from './script.js';

const ghost = randomUUID();

export const limitScripts: Record<string, Script> = {
  'limits of a tag': async (send, tag, { note, url }) => {
    const path = `/concurrency_limits/tag/${tag}`;
    const slots = async () => ((await send('GET', path))['active_slots'] as unknown[]).length;
    const ask = (verb: string, body: Body) => send('POST', `/concurrency_limits/${verb}`, body);
    await send('GET', path);
    for (const concurrency_limit of [1, 2])
      await send('POST', '/concurrency_limits/', { tag, concurrency_limit });
    await send('POST', '/concurrency_limits/', { tag: `${tag}/x`, concurrency_limit: 1 });
    await send('POST', '/concurrency_limits/', { tag: `${tag}-0`, concurrency_limit: 0 });
    await send('POST', '/concurrency_limits/', {});
    const flow = await send('POST', '/flows/', { name: tag });
    const run = await send('POST', '/flow_runs/', { flow_id: flow['id'], state: { type: 'RUNNING' } });
    const task = async (key: string) => {
      const body = { flow_run_id: run['id'], task_key: key, dynamic_key: key, name: key, tags: [tag] };
      return (await send('POST', '/task_runs/', body))['id'];
    };
    const [one, two] = [await task('a'), await task('b')];
    for (const task_run_id of [one, one, two])
      await ask('increment', { names: [tag, `${tag}-none`], task_run_id });
    await ask('increment', { names: [`${tag}-0`], task_run_id: two });
    for (const names of [[`${tag}-none`], []]) await ask('increment', { names, task_run_id: two });
    await ask('increment', {});
    note('taken', await slots());
    // The server may have limits of others.
    const list = await fetch(`${url}/concurrency_limits/filter`, { method: 'POST' });
    const own = ((await list.json()) as Body[]).filter((limit) => String(limit['tag']).startsWith(tag));
    const facts = own.map(({ active_slots, concurrency_limit, ...rest }) => [
      Object.keys(rest),
      concurrency_limit,
      (active_slots as unknown[]).length,
    ]);
    note('listed', facts);
    await ask('decrement', { names: [tag], task_run_id: two });
    await ask('decrement', { names: [tag, `${tag}-none`], task_run_id: one });
    await ask('decrement', { names: [`${tag}-none`], task_run_id: one });
    note('given back', await slots());
    await ask('increment', { names: [tag, tag], task_run_id: one });
    for (const [type, force] of [
      ['COMPLETED', false],
      ['CRASHED', true],
    ] as const) {
      const id = await task(type);
      await ask('increment', { names: [tag], task_run_id: id });
      note(`${type}: before`, await slots());
      await send('POST', `/task_runs/${String(id)}/set_state`, { state: { type }, force });
      note(`${type}: after`, await slots());
    }
    // A run that crashed leaves its task runs as they were, and their slots taken.
    await ask('increment', { names: [tag], task_run_id: one });
    await send('POST', `/flow_runs/${String(run['id'])}/set_state`, { state: { type: 'CRASHED' } });
    note('after the crash of the run', await slots());
    for (const end of ['', '-0', '-0']) await send('DELETE', `${path}${end}`);
    await send('DELETE', `/flows/${String(flow['id'])}`);
  },

  'global limits and leases': async (send, tag) => {
    const path = `/v2/concurrency_limits/${tag}`;
    const ask = (verb: string, body?: Body) => send('POST', `/v2/concurrency_limits/${verb}`, body);
    for (const limit of [2, 2]) await ask('', { name: tag, limit });
    await ask('', { name: `${tag}/x`, limit: 2 });
    await ask('', { name: 'x', limit: -1, slot_decay_per_second: -1, active_slots: 'x' });
    await ask('', { name: `${tag}-off`, limit: 0, active: false });
    const { id } = await send('GET', path);
    for (const other of [String(id), ghost, `${tag}-none`])
      await send('GET', `/v2/concurrency_limits/${other}`);
    const names = [tag];
    const holder = { type: 'flow_run', id: ghost };
    const lease = await ask('increment-with-lease', { names, slots: 1, lease_duration: 60, holder });
    await ask('increment-with-lease', { names, slots: 1 });
    for (const body of [
      { names, slots: 1 },
      { names, slots: 3 },
      { names: [`${tag}-none`], slots: 1 },
      { names: [`${tag}-off`], slots: 1 },
      { names: [], slots: 1 },
      { names, slots: 0 },
      { names, slots: 1, lease_duration: 59 },
      { names, slots: 1, lease_duration: 86401 },
      { names, slots: 1, lease_duration: 'x' },
      { names, slots: 1, mode: 'rate_limit' },
      { names, slots: 1, mode: 'x', holder: { type: 'x', id: 'y', z: 1 } },
      {},
    ]) {
      await ask('increment-with-lease', body);
    }
    const renew = `leases/${String(lease['lease_id'])}/renew`;
    for (const body of [{ lease_duration: 60 }, undefined, { lease_duration: 5 }]) await ask(renew, body);
    for (const other of [ghost, 'x']) await ask(`leases/${other}/renew`, { lease_duration: 60 });
    await send('GET', path);
    for (const lease_id of [lease['lease_id'], lease['lease_id'], ghost, 'x']) {
      await ask('decrement-with-lease', { lease_id });
    }
    await ask('decrement-with-lease', {});
    await ask(renew, { lease_duration: 60 });
    await send('GET', path);
    await ask('increment', { names: [tag, `${tag}-off`], slots: 1 });
    await ask('increment', { names, slots: 1 });
    await ask('decrement', { names: [tag, `${tag}-none`], slots: 1 });
    await ask('decrement', { names, slots: 5, occupancy_seconds: 3 });
    await send('GET', path);
    for (const end of ['', '-off', '']) await send('DELETE', `${path}${end}`);
  },
};
