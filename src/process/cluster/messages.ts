import { z } from 'zod';

/** What a worker tells the primary. */
export const workerMessage = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('ready'), url: z.string() }),
  /** It could not start; the reason is for people. */
  z.object({ kind: z.literal('failed'), reason: z.string() }),
  /** Its event loop turns. */
  z.object({ kind: z.literal('beat') }),
  /** It wants to be replaced: it has served its number of requests, or someone sent it SIGTERM. */
  z.object({ kind: z.literal('retire'), reason: z.string() }),
  z.object({
    kind: z.literal('hint'),
    hint: z.object({
      flowRunId: z.string(),
      stateId: z.string().exactOptional(),
      replay: z.literal(true).exactOptional(),
    }),
  }),
]);
export type WorkerMessage = z.infer<typeof workerMessage>;

/** What the primary tells a worker. */
export const primaryMessage = z.object({
  kind: z.literal('drain'),
  /** Another one serves in its place: idle connections can be left in peace until they end by themselves. */
  replaced: z.boolean(),
});
export type PrimaryMessage = z.infer<typeof primaryMessage>;

/** How often a worker tells that its event loop turns, in milliseconds. */
export const BEAT_MS = 250;
