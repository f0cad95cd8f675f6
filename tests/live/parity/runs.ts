import { randomUUID } from 'node:crypto';
import { isoTime, micros } from '../../support/seed.js';
import { type Body, type Script } from './script.js';

const ghost = randomUUID();

export const runScripts: Record<string, Script> = {
  'labels of a run': async (send, tag, { note }) => {
    const flow = await send('POST', '/flows/', { name: tag });
    const labels = { text: 'a', float: 1.5, yes: true, number: 2 };
    const run = await send('POST', '/flow_runs/', { flow_id: flow['id'], name: tag, labels });
    note('labels', { ...(run['labels'] as Body), 'prefect.flow.id': 'the flow' });
    for (const bad of [{ x: null }, { x: {} }, { x: [1] }, 'text']) {
      await send('POST', '/flow_runs/', { flow_id: flow['id'], labels: bad });
    }
    const path = `/flow_runs/${String(run['id'])}`;
    const named = { flow_runs: { name: { any_: [tag] } } };
    for (const change of [
      { text: 'b', added: 1 },
      {},
      'text',
      [],
      { text: null },
      { text: 'c' },
      { text: { deep: 1 } },
      { text: ['a'] },
      { text: 'd' },
    ]) {
      await send('PATCH', `${path}/labels`, change);
      await send('GET', path);
      await send('POST', '/flow_runs/filter', named);
      await send('POST', '/flow_runs/paginate', named);
      await send('POST', '/flow_runs/count', named);
    }
    await send('PATCH', `/flow_runs/${ghost}/labels`, { a: 'b' });
    await send('DELETE', `/flows/${String(flow['id'])}`);
  },

  'states, their ids and the end of a run': async (send, tag, { note }) => {
    const flow = await send('POST', '/flows/', { name: tag });
    const deployment = await send('POST', '/deployments/', { flow_id: flow['id'], name: 'd' });
    const walk = async (run: Body, ...steps: [type: string, name?: string][]) => {
      const path = `/flow_runs/${String(run['id'])}`;
      for (const [type, name] of steps) {
        const before = await send('GET', path);
        await send('POST', `${path}/set_state`, { state: { type, name } });
        const after = await send('GET', path);
        const at = (after['state'] as Body)['timestamp'];
        const end = after['end_time'];
        note(`${type} ${name ?? ''}`, {
          name: after['state_name'],
          runs: after['run_count'],
          newId: before['state_id'] !== after['state_id'],
          end: end === null ? 'none' : end === at ? 'now' : end === before['end_time'] ? 'kept' : 'other',
        });
      }
    };
    const make = (more: Body = {}) =>
      send('POST', '/flow_runs/', { flow_id: flow['id'], name: tag, ...more });
    await walk(await make(), ['RUNNING'], ['CRASHED'], ['COMPLETED'], ['FAILED'], ['RUNNING'], ['COMPLETED']);
    await walk(
      await make({ deployment_id: deployment['id'] }),
      ['RUNNING'],
      ['FAILED'],
      ['SCHEDULED', 'AwaitingRetry'],
      ['RUNNING'],
      ['COMPLETED'],
    );
    await walk(
      await make({ empirical_policy: { retries: 1, retry_delay: 0 } }),
      ['RUNNING'],
      ['FAILED'],
      ['RUNNING', 'Retrying'],
      ['FAILED'],
      ['RUNNING'],
      ['COMPLETED'],
    );
    await walk(await make(), ['CANCELLED'], ['COMPLETED'], ['COMPLETED', 'Again']);
    for (const retries of ['x', 1.5]) await make({ empirical_policy: { retries } });
    const late = await make();
    await send('PATCH', `/flow_runs/${String(late['id'])}`, {
      empirical_policy: { retries: 1, retry_delay: 60 },
    });
    await walk(late, ['RUNNING'], ['FAILED'], ['RUNNING']);
    await send('DELETE', `/flows/${String(flow['id'])}`);
  },

  'runs by their end': async (send, tag, { note }) => {
    const flow = await send('POST', '/flows/', { name: tag });
    const run = async (name: string, more: Body = {}) => {
      const body = { flow_id: flow['id'], name, tags: [tag], ...more };
      return String((await send('POST', '/flow_runs/', body))['id']);
    };
    const ended: string[] = [];
    for (const type of ['COMPLETED', 'FAILED', 'CANCELLED']) ended.push(await run(type, { state: { type } }));
    const open = await run('open', { state: { type: 'RUNNING' } });
    const task = await send('POST', '/task_runs/', { flow_run_id: open, task_key: 't', dynamic_key: 't' });
    await run('child', { parent_task_run_id: task['id'], state: { type: 'COMPLETED' } });
    const middle = String((await send('GET', `/flow_runs/${ended[1] ?? ''}`))['end_time']);
    const near = (difference: number) => isoTime(micros(middle) + difference);
    const any_ = ended;
    for (const wanted of [
      { end_time: { after_: middle } },
      { end_time: { before_: middle } },
      { end_time: { after_: near(1) } },
      { end_time: { after_: near(-1), before_: near(1) } },
      { end_time: { before_: near(-1) } },
      { end_time: { is_null_: true } },
      { end_time: { is_null_: false } },
      { end_time: { is_null_: true, before_: middle } },
      { end_time: {} },
      { end_time: { after_: 'x' } },
      { state: { type: { any_: ['COMPLETED', 'CRASHED'] } } },
      { state: { type: { any_: ['NOPE'] } } },
      { parent_task_run_id: { is_null_: true } },
      { parent_task_run_id: { is_null_: false } },
      { parent_task_run_id: { any_: [task['id']] } },
      { parent_task_run_id: { any_: [task['id']], is_null_: true } },
      { id: { any_ } },
      { id: { any_, not_any_: any_.slice(1) } },
      { id: { any_: [] } },
      { id: { any_ }, end_time: { after_: near(1) }, parent_task_run_id: { is_null_: true } },
    ]) {
      const flow_runs = { tags: { all_: [tag] }, ...wanted };
      await send('POST', '/flow_runs/count', { flow_runs });
      const found = await send('POST', '/flow_runs/filter', { flow_runs, sort: 'END_TIME_DESC', limit: 10 });
      note('found', Array.isArray(found) ? (found as Body[]).map(({ name }) => name) : 'none');
    }
    await send('DELETE', `/flows/${String(flow['id'])}`);
  },
};
