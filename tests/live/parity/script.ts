export type Body = Record<string, unknown>;
export type Send = (method: string, path: string, body?: unknown) => Promise<Body>;

/** Beside answers: facts that must be the same at the mock and at the server, and where it listens. */
export interface Aside {
  note: (what: string, fact: unknown) => void;
  /** Ends in /api. */
  url: string;
}

/** Requests that are sent to the mock and to a real server alike. */
export type Script = (send: Send, tag: string, aside: Aside) => Promise<void>;
