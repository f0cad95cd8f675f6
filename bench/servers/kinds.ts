/** What hosts ask for, the most urgent first. */
export const KINDS = ['trigger', 'poll', 'list', 'logs'] as const;
export type Kind = (typeof KINDS)[number];

/** Status 0: no reply, the connection broke. Times in milliseconds since the epoch. */
export interface Asked {
  kind: Kind;
  status: number;
  hasRetryAfter: boolean;
  sent: number;
  done: number;
}
