import { z } from '@hono/zod-openapi';
import { jsonOrText } from '../json.js';

const ids = z.array(z.guid().toLowerCase()).max(50).default([]);

/** What a run holds and gives up when it has ended, as whoever starts it declares it. */
export const resources = z.strictObject({
  /** Block documents that were made for this run alone. */
  block_documents: ids,
  /** One-off deployments. */
  deployments: ids,
  /** Leases of global concurrency limits. Slots without a lease are nobody's: given back twice, they are another's. */
  concurrency_leases: ids,
});
export type Resources = z.infer<typeof resources>;

/** Whether there is anything to give up. */
export function holdsAny(held: Resources): boolean {
  return Object.values(held).some((list) => list.length > 0);
}

/** Headers of the routes that start runs. */
export const newRunHeaders = z.object({
  'x-cleanup-resources': z
    .string()
    .transform(jsonOrText)
    .pipe(resources)
    .optional()
    .openapi({
      type: 'string',
      minLength: 2,
      description:
        'JSON: what is deleted or given back when the run has ended: `block_documents`, `deployments`, ' +
        '`concurrency_leases`, each a list of ids (50 at most). After a failure it is kept for CLEANUP_GRACE seconds, ' +
        'so that the run can be retried. E.g. `{"block_documents": ["6a1c9c1e-0f5b-4a3e-9d53-0e9c6f6b2f11"]}`',
    }),
  'x-notify': z
    .string()
    .trim()
    .toLowerCase()
    .pipe(z.enum(['true', 'false']))
    .transform((value) => value === 'true')
    .optional()
    .openapi({
      type: 'string',
      enum: ['true', 'false'],
      description:
        '`false`: no host hears when this run ends, whatever becomes of it (`HOST_WEBHOOK_URL`). It is cleaned up after ' +
        'as every other run. With a repeated `Idempotency-Key` the first request counts',
    }),
  'idempotency-key': z
    .string()
    .min(1)
    .max(255)
    .optional()
    .openapi({
      description:
        'The same key for the same deployment starts one run only, however often it is asked; with other ' +
        'parameters it is refused (422). E.g. `nightly-2026-01-31`',
    }),
});
