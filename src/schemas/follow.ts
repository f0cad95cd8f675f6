import { z } from '@hono/zod-openapi';
import { CURSOR, readCursor } from '../services/follow/cursor.js';
import { REASON_CODES } from '../services/explain-reasons.js';
import { list, uuid } from './lax.js';

const id = z.string().openapi({ format: 'uuid' });
const time = z.string().nullable().openapi({ format: 'date-time' });

const MAX_WAIT_SECONDS = 60;
const MAX_IDS = 1_000;

/** Seconds, as a query has them. */
export const waitSeconds = z
  .string()
  .default('25')
  .transform((text, context) => {
    const seconds = text.trim() === '' ? NaN : Number(text);
    if (seconds >= 0 && seconds <= MAX_WAIT_SECONDS) return seconds;
    const message = `Input should be a number of seconds from 0 to ${MAX_WAIT_SECONDS}`;
    context.issues.push({ code: 'custom', message, params: { type: 'number_range' }, input: text });
    return z.NEVER;
  })
  .openapi({
    type: 'number',
    minimum: 0,
    maximum: MAX_WAIT_SECONDS,
    default: 25,
    description: 'Seconds to wait at most',
  });

/** The `id` of the last event that was read. */
export const lastEventId = z
  .string()
  .transform((text, context) => {
    const cursor = readCursor(text.trim());
    if (cursor) return cursor;
    const message = 'Input should be the id of an event of this route';
    context.issues.push({ code: 'custom', message, params: { type: 'event_id' }, input: text });
    return z.NEVER;
  })
  .optional()
  .openapi({
    type: 'string',
    pattern: CURSOR.source,
    description: 'The `id` of the last event that was read: only what came after it is sent',
  });

export const manyRuns = z
  .object({
    ids: list(uuid, { min: 1, max: MAX_IDS }),
  })
  .openapi('ManyRuns');

export const runSummary = z
  .object({
    id,
    name: z.string(),
    deployment_id: id.nullable(),
    state_type: z.string().nullable(),
    state_name: z.string().nullable(),
    expected_start_time: time,
    start_time: time,
    end_time: time,
    total_run_time: z.number().openapi({ description: 'Seconds' }),
    ended: z.boolean().openapi({ description: 'The run is in a terminal state' }),
  })
  .openapi('RunSummary');

export const runSummaries = z.object({
  flow_runs: z.array(runSummary).openapi({ description: 'In the order of the ids' }),
  missing: z.array(id).openapi({ description: 'Ids of runs that are not there' }),
});

export const taskResults = z
  .object({
    flow_run_id: id,
    state_type: z.string(),
    state_name: z.string(),
    created: z.string().openapi({ format: 'date-time' }),
    tasks: z
      .array(z.unknown())
      .openapi({ description: '`{seq, type, slug, state_type, state_name, message, result}` of each task' }),
  })
  .openapi('TaskResults');

export const explanation = z
  .object({
    flow_run_id: id,
    name: z.string(),
    state_type: z.string(),
    state_name: z.string(),
    state_message: z.string().nullable(),
    since_seconds: z.number().openapi({ description: 'Seconds since it entered that state' }),
    deployment_id: id.nullable(),
    work_pool_name: z.string().nullable(),
    work_queue_name: z.string().nullable(),
    reasons: z.array(
      z.object({
        code: z.enum(REASON_CODES),
        message: z.string(),
        holders: z
          .array(z.object({ flow_run_id: id, name: z.string() }))
          .optional()
          .openapi({ description: 'The runs that hold the slots of a limit' }),
      }),
    ),
  })
  .openapi('Explanation');

/** One event of the stream. The media type says how it is written: `event:`, `id:` and `data:`, each on a line. */
export const streamedEvent = z
  .object({
    event: z.enum(['state', 'log', 'end', 'deleted']).optional(),
    id: z.string().optional().openapi({ description: 'For `Last-Event-ID`' }),
    data: z.string().optional().openapi({ description: 'JSON' }),
    retry: z.number().int().optional().openapi({ description: 'Milliseconds' }),
  })
  .openapi('StreamedEvent', {
    description:
      'Events `state` {id, type, name, timestamp, message}; `log` {id, level, timestamp, name, message, flow_run_id, ' +
      'task_run_id}, of the run and its subflows, as they come in; `end` with the final state, after the last logs; ' +
      '`deleted` (null). Comments keep the connection alive.',
  });
