import { z } from 'zod';

export interface WorkQueue {
  name: string;
  /** Runs at once; none: no limit. */
  concurrencyLimit?: number;
}

/** Prefect's names of queues have none of `/ % & < >`. */
const QUEUE = /^([^/%&<>:]+?) *(?:: *([1-9]\d{0,8}))?$/;

/** `ddp,manual-dbt,edr:2`: names, each with a limit if it has one. */
export const workQueues = z
  .string()
  .transform((list, context): WorkQueue[] => {
    const items = list.split(',').filter((item) => item.trim() !== '');
    const queues = items.flatMap((item) => parse(item.trim()) ?? []);
    const names = new Set(queues.map(({ name }) => name));
    if (items.length === 0 || names.size < items.length) {
      const message = 'must be names of queues, each once, with a limit from 1 if any: ddp,manual-dbt,edr:2';
      context.addIssue({ code: 'custom', message });
    }
    return queues;
  })
  .optional();

function parse(item: string): WorkQueue | undefined {
  const [, name, limit] = QUEUE.exec(item) ?? [];
  if (name === undefined) return undefined;
  return limit === undefined ? { name } : { name, concurrencyLimit: Number(limit) };
}

interface QueueVariables {
  PREFECT_WORK_QUEUES?: WorkQueue[] | undefined;
  PREFECT_WORK_QUEUE1_NAME: string;
  PREFECT_WORK_QUEUE1_CONCURRENCY_LIMIT?: number | undefined;
  PREFECT_WORK_QUEUE2_NAME: string;
  PREFECT_WORK_QUEUE2_CONCURRENCY_LIMIT?: number | undefined;
}

/** The queues that are made: those of PREFECT_WORK_QUEUES, in whose place the variables of the two queues do not count. */
export function workQueuesOf(config: QueueVariables): WorkQueue[] {
  const queue = (name: string, concurrencyLimit: number | undefined): WorkQueue =>
    concurrencyLimit === undefined ? { name } : { name, concurrencyLimit };
  return (
    config.PREFECT_WORK_QUEUES ?? [
      queue(config.PREFECT_WORK_QUEUE1_NAME, config.PREFECT_WORK_QUEUE1_CONCURRENCY_LIMIT),
      queue(config.PREFECT_WORK_QUEUE2_NAME, config.PREFECT_WORK_QUEUE2_CONCURRENCY_LIMIT),
    ]
  );
}
