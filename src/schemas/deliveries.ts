import { z } from '@hono/zod-openapi';
import type { Place } from '../services/deliveries.js';
import { WITHOUT_RUN_STATES } from '../services/settlement/deliveries-without-run.js';
import { datetime, int, orNull, timeOrEmpty } from './lax.js';
import { toUtcTime } from './time.js';

const STATES = ['pending', 'delivered', 'dead', 'not_wanted'] as const;
const PLACE = /^(\S+) ([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})$/;

/** Where to go on, as a text that hosts hand back and do not look into. */
export function cursorOf({ time, id }: Place): string {
  return Buffer.from(`${time} ${id}`).toString('base64url');
}

/** @returns undefined for a text that `cursorOf` never makes */
function placeOf(cursor: string): Place | undefined {
  const [, given, id] = PLACE.exec(Buffer.from(cursor, 'base64url').toString()) ?? [];
  const time = toUtcTime(given);
  if (id === undefined || !('value' in time)) return undefined;
  const place = { time: time.value, id };
  return cursorOf(place) === cursor ? place : undefined;
}

const cursor = z
  .string()
  .transform((text, context): Place => {
    const place = placeOf(text);
    if (place) return place;
    const msg = 'Input should be the next_cursor of a reply before';
    context.addIssue({ code: 'custom', message: msg, params: { type: 'value_error' } });
    return z.NEVER;
  })
  .openapi({
    type: 'string',
    minLength: 1,
    description: '`next_cursor` of the reply before, with the same range and state',
  });

const LIMIT = 200;
const limit = int
  .refine((value) => value >= 1, {
    message: 'Input should be greater than or equal to 1',
    params: { type: 'greater_than_equal' },
  })
  .refine((value) => value <= LIMIT, {
    message: `Input should be less than or equal to ${LIMIT}`,
    params: { type: 'less_than_equal' },
  })
  .default(50)
  .openapi({ type: 'integer', minimum: 1, maximum: LIMIT, default: 50, description: 'Runs at most' });

export const deliveryQuery = z.object({
  state: z.enum(STATES).optional().openapi({ description: 'Only these; all by default' }),
  since: timeOrEmpty
    .default('')
    .openapi({ description: 'Ended then or later; 24 h before `until` by default' }),
  until: timeOrEmpty.default('').openapi({ description: 'Ended then or earlier; now by default' }),
  limit,
  cursor: cursor.optional(),
});

export const recovery = z
  .object({
    since: datetime,
    until: orNull(datetime),
    state: z
      .enum(['pending', 'dead', 'all'])
      .optional()
      .openapi({ description: 'All that is not delivered by default; `all` is also what was delivered' }),
    cursor: cursor
      .nullable()
      .default(null)
      .openapi({ type: ['string', 'null'] }),
  })
  .openapi('Recovery');

const id = z.string().openapi({ format: 'uuid' });
const time = z.string().openapi({ format: 'date-time' });
const nextCursor = z.string().nullable().openapi({ description: 'null at the end of the range' });
const unreadable = z
  .number()
  .int()
  .openapi({ description: 'Runs that were left out because the orchestrator cannot show them' });

const delivery = z
  .object({
    flow_run_id: id,
    name: z.string(),
    state_id: id,
    state_type: z.string(),
    state_name: z.string(),
    ended_at: time,
    delivery: z.enum(STATES).openapi({
      description: '`not_wanted`: no host hears of it, e.g. because it was started with `X-Notify: false`',
    }),
    attempts: z.number().int().openapi({ description: 'Attempts that failed' }),
    next_attempt: time.nullable(),
    last: z
      .string()
      .nullable()
      .openapi({ description: "What the last attempt that failed met: the host's status or a word" }),
    cleaned: z.boolean().openapi({ description: 'What the run held has been given back' }),
  })
  .openapi('Delivery');

export const deliveryList = z.object({ deliveries: z.array(delivery), next_cursor: nextCursor, unreadable });

export const withoutRunList = z.object({
  deliveries: z.array(
    z
      .object({
        flow_run_id: id,
        state_id: id.nullable(),
        noted_at: time,
        delivery: z.enum(WITHOUT_RUN_STATES).openapi({
          description: '`unknown`: the run is gone, and nothing is known of its end; it cannot be delivered',
        }),
      })
      .openapi('DeliveryWithoutRun'),
  ),
});

export const replayed = z.object({
  flow_run_id: id,
  webhook_id: z.string().openapi({ description: 'The same as the first time: the host sees a duplicate' }),
});

export const recovered = z.object({
  found: z.number().int().openapi({ description: 'Runs of this part of the range that are to be told' }),
  replayed: z.number().int().openapi({ description: 'Those of them that will be: the others are gone' }),
  reached: time.openapi({ description: 'The range is done down to this time' }),
  next_cursor: nextCursor,
  unreadable,
});
