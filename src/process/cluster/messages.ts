import { z } from 'zod';
import { stateChange } from '../../prefect/state-change.js';
import { snapshot } from '../../metrics/snapshot.js';

/** What a worker tells the primary. */
export const workerMessage = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('ready'), url: z.string() }),
  /** It could not start; the reason is for people. */
  z.object({ kind: z.literal('failed'), reason: z.string() }),
  /** Its event loop turns. */
  z.object({ kind: z.literal('beat') }),
  /** It wants to be replaced: it has served its number of requests, or someone sent it SIGTERM. */
  z.object({ kind: z.literal('retire'), reason: z.string() }),
  /** It has ended serving, and waits for the word to go: connections may be on their way to it. */
  z.object({ kind: z.literal('leaving') }),
  /** It is asked for the numbers of all processes. */
  z.object({ kind: z.literal('scrape') }),
  /** What it has counted: because it was asked, or for the last time. */
  z.object({ kind: z.literal('counted'), metrics: snapshot }),
  z.object({
    kind: z.literal('hint'),
    hint: z.object({
      flowRunId: z.string(),
      stateId: z.string().exactOptional(),
      end: stateChange.exactOptional(),
      replay: z.literal(true).exactOptional(),
    }),
  }),
]);
export type WorkerMessage = z.infer<typeof workerMessage>;

/** What the primary tells a worker. */
export const primaryMessage = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('drain'),
    /** Another one serves in its place: idle connections can be left in peace until they end by themselves. */
    replaced: z.boolean(),
  }),
  /** Nothing more is on its way: it can end. */
  z.object({ kind: z.literal('leave') }),
  /** It is to say what it has counted. */
  z.object({ kind: z.literal('count') }),
  /** Why nothing is delivered at the moment; null while it is. */
  z.object({ kind: z.literal('standby'), reason: z.string().nullable() }),
  /** The numbers of all processes, as text. */
  z.object({ kind: z.literal('scraped'), text: z.string() }),
]);
export type PrimaryMessage = z.infer<typeof primaryMessage>;

/** How often a worker tells that its event loop turns, in milliseconds. */
export const BEAT_MS = 250;
